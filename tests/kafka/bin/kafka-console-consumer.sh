#!/bin/sh
exec java -Xmx64m -cp '/opt/kafka/libs/*' -Dlog4j2.configurationFile=/opt/kafka/bin/log4j2.yaml org.apache.kafka.tools.consumer.ConsoleConsumer "$@"
