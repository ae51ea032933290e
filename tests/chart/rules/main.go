// Tests the chart's alerting rules against made-up series, with Prometheus' own engine. promtool does the same, with all of
// Prometheus linked in.
//
//	rules RULES TESTS   RULES: a PrometheusRule or a file of rules; TESTS: rules.yaml beside this file
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"gopkg.in/yaml.v3"
)

type rule struct {
	Alert string
	Expr  string
	For   string
}

type rules struct {
	Spec struct{ Groups []struct{ Rules []rule } }
}

type test struct {
	Says  string
	Alert string
	// As promtool has them, a sample a minute.
	Series []string
	// After so many minutes.
	At int
	// The labels of the alerts that fire then.
	Fires []map[string]string
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "rules RULES TESTS")
		os.Exit(2)
	}
	var all rules
	read(os.Args[1], &all)
	var tests []test
	read(os.Args[2], &tests)
	found := map[string]rule{}
	for _, group := range all.Spec.Groups {
		for _, rule := range group.Rules {
			found[rule.Alert] = rule
		}
	}
	failed := false
	firing, silent := map[string]bool{}, map[string]bool{}
	testing.Init()
	for _, test := range tests {
		rule, there := found[test.Alert]
		if !there {
			fail("no rule %s", test.Alert)
		}
		if len(test.Fires) > 0 {
			firing[test.Alert] = true
		} else {
			silent[test.Alert] = true
		}
		if got, want := fires(rule, test), lines(test.Fires); !slices.Equal(got, want) {
			fmt.Fprintf(os.Stderr, "rules: %s (%s): fires %q instead of %q\n", test.Says, test.Alert, got, want)
			failed = true
		}
	}
	for alert := range found {
		if !firing[alert] || !silent[alert] {
			fmt.Fprintf(os.Stderr, "rules: %s has no case in which it fires, or none in which it does not\n", alert)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
	fmt.Printf("rules: %d tests\n", len(tests))
}

// fires returns the labels for which the rule's expression has held at each minute for as long as it has to.
func fires(rule rule, test test) []string {
	var wait model.Duration
	if rule.For != "" {
		parsed, err := model.ParseDuration(rule.For)
		if err != nil {
			fail("%s: %v", rule.Alert, err)
		}
		wait = parsed
	}
	storage := promqltest.LoadedStorage(new(testing.T), "load 1m\n  "+strings.Join(test.Series, "\n  ")+"\n")
	defer storage.Close()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1_000_000, Timeout: time.Minute})
	at := time.Unix(int64(test.At)*60, 0)
	var holds []string
	for minute := at.Add(-time.Duration(wait)); !minute.After(at); minute = minute.Add(time.Minute) {
		query, err := engine.NewInstantQuery(context.Background(), storage, nil, rule.Expr, minute)
		if err != nil {
			fail("%s: %v", rule.Alert, err)
		}
		vector, err := query.Exec(context.Background()).Vector()
		if err != nil {
			fail("%s: %v", rule.Alert, err)
		}
		now := make([]map[string]string, 0, len(vector))
		for _, sample := range vector {
			set := map[string]string{}
			sample.Metric.Range(func(label labels.Label) { set[label.Name] = label.Value })
			now = append(now, set)
		}
		found := lines(now)
		if minute.Equal(at.Add(-time.Duration(wait))) {
			holds = found
		} else {
			holds = slices.DeleteFunc(holds, func(line string) bool { return !slices.Contains(found, line) })
		}
	}
	return holds
}

// lines returns each set of labels as text, in order.
func lines(sets []map[string]string) []string {
	all := []string{}
	for _, set := range sets {
		all = append(all, labels.FromMap(set).String())
	}
	slices.Sort(all)
	return all
}

func read(file string, into any) {
	text, err := os.ReadFile(file)
	if err == nil {
		err = yaml.Unmarshal(text, into)
	}
	if err != nil {
		fail("%s: %v", file, err)
	}
}

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "rules: "+format+"\n", arguments...)
	os.Exit(1)
}
