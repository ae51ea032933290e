// Command schemas writes one JSON schema for each kind of a Kubernetes OpenAPI document, as kubeconform reads them.
//
//	schemas swagger.json DIRECTORY
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const reference = "#/definitions/"

type object = map[string]any

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: schemas swagger.json DIRECTORY")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "schemas:", err)
		os.Exit(1)
	}
}

func run(document, directory string) error {
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	var swagger struct{ Definitions map[string]object }
	if err := json.Unmarshal(text, &swagger); err != nil {
		return err
	}
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	all := swagger.Definitions
	for name, definition := range all {
		all[name] = strict(definition)
	}
	// Written by numbers and strings alike.
	all["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] = object{"type": []string{"integer", "string"}}
	all["io.k8s.apimachinery.pkg.api.resource.Quantity"] = object{"type": []string{"number", "string"}}
	for name, definition := range all {
		kinds, _ := definition["x-kubernetes-group-version-kind"].([]any)
		if len(kinds) != 1 { // options of requests are of every group
			continue
		}
		schema, err := json.Marshal(object{"$ref": reference + name, "definitions": needed(all, name, object{})})
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(directory, file(kinds[0].(object))), schema, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// file is where kubeconform looks for a kind: kind, the group's first word, version.
func file(kind object) string {
	group, _, _ := strings.Cut(kind["group"].(string), ".")
	parts := []string{kind["kind"].(string), group, kind["version"].(string)}
	if group == "" {
		parts = []string{parts[0], parts[2]}
	}
	return strings.ToLower(strings.Join(parts, "-")) + ".json"
}

// strict refuses fields that a definition does not list.
func strict(definition object) object {
	if _, ok := definition["properties"]; ok {
		definition["additionalProperties"] = false
	}
	return definition
}

// needed collects a definition and all that it refers to.
func needed(all map[string]object, name string, found object) object {
	if _, ok := found[name]; ok {
		return found
	}
	found[name] = all[name]
	references(all[name], func(other string) { needed(all, other, found) })
	return found
}

func references(value any, visit func(name string)) {
	switch value := value.(type) {
	case object:
		if name, ok := value["$ref"].(string); ok {
			visit(strings.TrimPrefix(name, reference))
		}
		for _, member := range value {
			references(member, visit)
		}
	case []any:
		for _, member := range value {
			references(member, visit)
		}
	}
}
