#!/bin/sh
exec java $KAFKA_HEAP_OPTS -cp '/opt/kafka/libs/*' -Dlog4j2.configurationFile=/opt/kafka/bin/log4j2.yaml kafka.Kafka "$@"
