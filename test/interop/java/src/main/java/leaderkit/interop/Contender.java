package leaderkit.interop;

import com.amazonaws.services.dynamodbv2.AcquireLockOptions;
import com.amazonaws.services.dynamodbv2.AmazonDynamoDBLockClient;
import com.amazonaws.services.dynamodbv2.AmazonDynamoDBLockClientOptions;
import com.amazonaws.services.dynamodbv2.LockItem;
import com.amazonaws.services.dynamodbv2.SendHeartbeatOptions;
import com.amazonaws.services.dynamodbv2.model.LockCurrentlyUnavailableException;
import com.amazonaws.services.dynamodbv2.model.LockNotGrantedException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.awscore.retry.AwsRetryStrategy;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.dynamodb.DynamoDbClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbClientBuilder;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.awssdk.services.dynamodb.model.ConditionalCheckFailedException;

/**
 * A process that contends for one lock with awslabs' client, as its documentation shows. It takes commands on stdin, one a line,
 * and answers each with one line on stdout. Between the answers it says, every few milliseconds while it holds the lock, what it
 * believes. The words are those of peer_test.go; times are System.nanoTime().
 */
public final class Contender {
  private static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);
  private static final long SAMPLE_EVERY_MILLIS = 4;

  private final Map<String, String> settings = new HashMap<>();
  private final DynamoDbClient dynamo;
  private final AmazonDynamoDBLockClient client;
  private final Random random = new Random();
  private LockItem item; // of the present tenure
  private int tenure;
  private volatile boolean sampling;
  private Thread sampler;

  private Contender(String[] args) {
    for (String arg : args) {
      int at = arg.indexOf('=');
      settings.put(arg.substring(0, at), arg.substring(at + 1));
    }
    DynamoDbClientBuilder builder = DynamoDbClient.builder()
        .endpointOverride(URI.create(settings.get("endpoint")))
        .region(Region.US_EAST_1)
        // DynamoDB Local keeps the tables of different keys apart: these are those of the test's
        // own client.
        .credentialsProvider(StaticCredentialsProvider.create(AwsBasicCredentials.create("wire", "wire")));
    if (is("withoutRetries")) {
      builder.overrideConfiguration(c -> c.retryStrategy(AwsRetryStrategy.doNotRetry()));
    }
    dynamo = builder.build();
    AmazonDynamoDBLockClientOptions.AmazonDynamoDBLockClientOptionsBuilder options =
        AmazonDynamoDBLockClientOptions.builder(dynamo, settings.get("table"))
            .withOwnerName(settings.get("owner"))
            .withTimeUnit(TimeUnit.MILLISECONDS)
            .withLeaseDuration(number("lease"))
            .withHeartbeatPeriod(number("heartbeat"))
            .withHoldLockOnServiceUnavailable(is("holdsOnServiceUnavailable"))
            .withCreateHeartbeatBackgroundThread(!is("withoutHeartbeats"));
    if (settings.containsKey("sortKeyName")) {
      options.withSortKeyName(settings.get("sortKeyName"));
    }
    client = new AmazonDynamoDBLockClient(options.build());
  }

  private boolean is(String setting) {
    return Boolean.parseBoolean(settings.get(setting));
  }

  private long number(String setting) {
    return Long.parseLong(settings.get(setting));
  }

  private Optional<String> sortKey() {
    return Optional.ofNullable(settings.get("sortKey"));
  }

  private AcquireLockOptions.AcquireLockOptionsBuilder acquire() {
    AcquireLockOptions.AcquireLockOptionsBuilder options = AcquireLockOptions.builder(settings.get("lock"))
        .withTimeUnit(TimeUnit.MILLISECONDS)
        .withRefreshPeriod(number("heartbeat") / 2)
        .withUpdateExistingLockRecord(is("inPlace"))
        .withDeleteLockOnRelease(!is("keepsItem"))
        .withReplaceData(!is("keepsData"));
    sortKey().ifPresent(options::withSortKey);
    if (settings.containsKey("data")) {
      options.withData(bytes(settings.get("data")));
    }
    if (settings.containsKey("attribute")) {
      options.withAdditionalAttributes(Map.of(settings.get("attribute"), AttributeValue.fromS("java's")));
    }
    return options;
  }

  private static ByteBuffer bytes(String text) {
    return ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
  }

  /** The lock, or null if another has it. */
  private LockItem tryOnce() throws InterruptedException {
    try {
      return client.acquireLock(acquire().withShouldSkipBlockingWait(true).withAdditionalTimeToWaitForLock(0L).build());
    } catch (LockNotGrantedException | LockCurrentlyUnavailableException e) {
      return null;
    }
  }

  /** As tryOnce, but waits for so long, and for a lease of the holder's before that. */
  private LockItem await(long millis) throws InterruptedException {
    try {
      return client.acquireLock(acquire().withAdditionalTimeToWaitForLock(millis).build());
    } catch (LockNotGrantedException e) {
      return null;
    }
  }

  private String took(LockItem granted) {
    if (granted == null) {
      return "refused";
    }
    begin(granted);
    return "granted " + granted.getData().map(b -> StandardCharsets.UTF_8.decode(b.duplicate()).toString()).orElse("");
  }

  /** From here on the process believes, and says so, until it yields or isExpired says no. */
  private void begin(LockItem granted) {
    item = granted;
    tenure++;
    sampling = true;
    final int of = tenure;
    sampler = new Thread(() -> {
      while (sampling) {
        long from = System.nanoTime();
        // Read before isExpired: a heartbeat in between makes the claim rather too short.
        long until = granted.getLookupTime() + granted.getLeaseDuration();
        boolean held = !granted.isExpired();
        long to = System.nanoTime();
        if (!held) {
          say("lost " + of + " " + to);
          return;
        }
        say("belief " + of + " " + from + " " + to + " " + until * 1_000_000);
        try {
          Thread.sleep(SAMPLE_EVERY_MILLIS);
        } catch (InterruptedException e) {
          return;
        }
      }
    });
    sampler.setDaemon(true);
    sampler.start();
  }

  private boolean release() throws InterruptedException {
    if (item == null) {
      return false;
    }
    sampling = false;
    sampler.join();
    say("yield " + tenure + " " + System.nanoTime());
    boolean released = client.releaseLock(item);
    item = null;
    return released;
  }

  /** Acquires and releases again and again, and while it holds the lock increments a counter that every contender increments. */
  private String contend(long millis) throws InterruptedException {
    long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(millis);
    int tenures = 0, increments = 0, late = 0, conflicts = 0;
    while (System.nanoTime() < end) {
      LockItem granted = await(number("lease"));
      if (granted == null) {
        continue;
      }
      begin(granted);
      tenures++;
      long hold = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(50 + random.nextInt(200));
      while (System.nanoTime() < hold && !granted.isExpired()) {
        long value = counter();
        if (granted.isExpired()) {
          break;
        }
        if (setCounter(value, settings.get("owner") + "/" + tenure + "/" + value)) {
          increments++;
        } else if (granted.isExpired()) {
          late++;
        } else {
          conflicts++;
        }
        Thread.sleep(5);
      }
      release();
      Thread.sleep(random.nextInt(100));
    }
    return "contended " + tenures + " " + increments + " " + late + " " + conflicts;
  }

  private Map<String, AttributeValue> readCounter() {
    return dynamo.getItem(r -> r.tableName(settings.get("table")).consistentRead(true).key(counterKey())).item();
  }

  private Map<String, AttributeValue> counterKey() {
    return Map.of("key", AttributeValue.fromS("counter of " + settings.get("lock")));
  }

  private long counter() {
    AttributeValue value = readCounter().get("value");
    return value == null ? 0 : Long.parseLong(value.n());
  }

  /** One more than value, if it still is value. False: somebody else has written meanwhile. */
  private boolean setCounter(long value, String by) {
    try {
      dynamo.updateItem(r -> r.tableName(settings.get("table")).key(counterKey())
          .updateExpression("SET #v = :new, #by = :by")
          .conditionExpression("attribute_not_exists(#v) OR #v = :old")
          .expressionAttributeNames(Map.of("#v", "value", "#by", "by"))
          .expressionAttributeValues(Map.of(":new", AttributeValue.fromN(Long.toString(value + 1)),
              ":old", AttributeValue.fromN(Long.toString(value)), ":by", AttributeValue.fromS(by))));
      return true;
    } catch (ConditionalCheckFailedException e) {
      AttributeValue written = readCounter().get("by");
      return written != null && by.equals(written.s()); // the SDK has repeated it, and the first copy was carried out
    }
  }

  private String obey(String command, String argument) throws InterruptedException {
    switch (command) {
      case "clock":
        return "clock " + System.nanoTime();
      case "try":
        return took(tryOnce());
      case "wait":
        return took(await(Long.parseLong(argument)));
      case "store":
        client.sendHeartbeat(SendHeartbeatOptions.builder(item).withData(bytes(argument)).build());
        return "stored";
      case "release":
        return "released " + release();
      case "contend":
        return contend(Long.parseLong(argument));
      default:
        return "error no command: " + command;
    }
  }

  private static void say(String line) {
    synchronized (OUT) {
      OUT.print(line + "\n");
      OUT.flush();
    }
  }

  public static void main(String[] args) throws IOException {
    Contender contender = new Contender(args);
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = commands.readLine(); line != null; line = commands.readLine()) {
      String[] words = line.split(" ", 2);
      try {
        say(contender.obey(words[0], words.length > 1 ? words[1] : ""));
      } catch (Exception e) {
        say("error " + e.toString().replace('\n', ' '));
      }
    }
    Runtime.getRuntime().halt(0); // whoever started this is gone; nothing is released
  }
}
