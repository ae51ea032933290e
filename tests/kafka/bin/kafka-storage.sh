#!/bin/sh
exec java -cp '/opt/kafka/libs/*' -Dlog4j2.configurationFile=/opt/kafka/bin/log4j2.yaml kafka.tools.StorageTool "$@"
