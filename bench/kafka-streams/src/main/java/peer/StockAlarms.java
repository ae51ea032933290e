package peer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/**
 * The strongest Kafka Streams answer to the same job: true sliding windows by the Processor API,
 * exactly-once v2, one pass from the raw topic to the averages and alarms topics.
 *
 * <p>Arguments: BOOTSTRAP RAW AVERAGES ALARMS (rocksdb|memory) TOLERANCE THREADS STATE_DIR.
 * A system property {@code streams.X} is Kafka Streams' setting X.
 */
public final class StockAlarms {
  static final int[] WINDOWS = {5, 10, 15};
  static final ObjectMapper JSON = new ObjectMapper();

  static final class Alarms implements Processor<String, byte[], String, byte[]> {
    final double tolerance;
    ProcessorContext<String, byte[]> context;
    KeyValueStore<String, Long> last;
    WindowStore<String, Double> prices;
    KeyValueStore<String, Double> averages;

    Alarms(double tolerance) {
      this.tolerance = tolerance;
    }

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
      this.context = context;
      last = context.getStateStore("last");
      prices = context.getStateStore("prices");
      averages = context.getStateStore("averages");
    }

    @Override
    public void process(Record<String, byte[]> record) {
      try {
        JsonNode quote = JSON.readTree(record.value());
        String ticker = record.key();
        long seconds = quote.get("lastupdatedate").asLong();
        Long seen = last.get(ticker);
        if (seen != null && seen == seconds) {
          return;
        }
        last.put(ticker, seconds);
        long now = seconds * 1000;
        prices.put(ticker, quote.get("currentstockprice").asDouble(), now);
        double[] sum = new double[WINDOWS.length];
        int[] count = new int[WINDOWS.length];
        try (var it = prices.fetch(ticker, now - 15 * 60_000L + 1, now)) {
          while (it.hasNext()) {
            var entry = it.next();
            for (int i = 0; i < WINDOWS.length; i++) {
              if (entry.key > now - WINDOWS[i] * 60_000L) {
                sum[i] += entry.value;
                count[i]++;
              }
            }
          }
        }
        for (int i = 0; i < WINDOWS.length; i++) {
          String key = "\"" + ticker + "\"" + WINDOWS[i];
          double average = sum[i] / count[i];
          Double old = averages.get(key);
          averages.put(key, average);
          byte[] out = JSON.writeValueAsBytes(Map.of(
              "entityname", ticker, "windowtime", WINDOWS[i], "stockpriceavg", average));
          context.forward(new Record<>(key, out, now), "averages-out");
          if (old != null && Math.abs(average - old) / old > tolerance) {
            byte[] alarm = JSON.writeValueAsBytes(Map.of(
                "entityname", ticker, "windowtime", WINDOWS[i],
                "deviation", Math.abs(average - old) / old,
                "lastupdatedate", seconds));
            context.forward(new Record<>(key, alarm, now), "alarms-out");
          }
        }
      } catch (java.io.IOException e) {
        throw new java.io.UncheckedIOException(e);
      }
    }
  }

  public static void main(String[] a) {
    Properties p = new Properties();
    p.put(StreamsConfig.APPLICATION_ID_CONFIG, "peer-" + a[2]);
    p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, a[0]);
    p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, a[6]);
    p.put(StreamsConfig.STATE_DIR_CONFIG, a[7]);
    p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    p.put("auto.offset.reset", "earliest");
    for (String name : System.getProperties().stringPropertyNames()) {
      if (name.startsWith("streams.")) {
        p.put(name.substring("streams.".length()), System.getProperty(name));
      }
    }
    boolean memory = a[4].equals("memory");
    Duration retention = Duration.ofMinutes(Integer.getInteger("retention.minutes", 30));
    Duration window = Duration.ofMinutes(15);
    Topology t = new Topology();
    t.addSource("raw", Serdes.String().deserializer(), Serdes.ByteArray().deserializer(), a[1]);
    t.addProcessor("alarm", () -> new Alarms(Double.parseDouble(a[5])), "raw");
    t.addStateStore(Stores.keyValueStoreBuilder(memory ? Stores.inMemoryKeyValueStore("last")
        : Stores.persistentKeyValueStore("last"), Serdes.String(), Serdes.Long()), "alarm");
    t.addStateStore(Stores.windowStoreBuilder(
        memory ? Stores.inMemoryWindowStore("prices", retention, window, false)
            : Stores.persistentWindowStore("prices", retention, window, false),
        Serdes.String(), Serdes.Double()), "alarm");
    t.addStateStore(Stores.keyValueStoreBuilder(memory ? Stores.inMemoryKeyValueStore("averages")
        : Stores.persistentKeyValueStore("averages"), Serdes.String(), Serdes.Double()), "alarm");
    t.addSink("averages-out", a[2], Serdes.String().serializer(),
        Serdes.ByteArray().serializer(), "alarm");
    t.addSink("alarms-out", a[3], Serdes.String().serializer(),
        Serdes.ByteArray().serializer(), "alarm");
    KafkaStreams streams = new KafkaStreams(t, p);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
    streams.start();
  }
}
