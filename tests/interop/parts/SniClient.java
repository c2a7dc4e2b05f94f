// The Java client in SNI-proxy mode straight through the hub, host-name verification on:
//   java -cp 'JARS/*' SniClient.java CA PARTY HUB MEGABYTES
// Sends to the party's broker and reads back; every message is checked.

import java.util.Arrays;
import java.util.Random;
import java.util.UUID;
import org.apache.pulsar.PulsarVersion;
import org.apache.pulsar.client.api.Consumer;
import org.apache.pulsar.client.api.Producer;
import org.apache.pulsar.client.api.ProxyProtocol;
import org.apache.pulsar.client.api.PulsarClient;
import org.apache.pulsar.client.api.SubscriptionInitialPosition;

public class SniClient {
    public static void main(String[] args) throws Exception {
        String authority = args[0], party = args[1], hub = args[2];
        int count = Integer.parseInt(args[3]);
        String topic = "persistent://public/default/" + UUID.randomUUID();
        try (PulsarClient client = PulsarClient.builder()
                        .serviceUrl("pulsar+ssl://" + party + ".fate.org:6651")
                        .proxyServiceUrl("pulsar+ssl://" + hub, ProxyProtocol.SNI)
                        .tlsTrustCertsFilePath(authority)
                        .enableTlsHostnameVerification(true)
                        .allowTlsInsecureConnection(false)
                        .build();
                Consumer<byte[]> consumer = client.newConsumer()
                        .topic(topic)
                        .subscriptionName("checker")
                        .subscriptionInitialPosition(SubscriptionInitialPosition.Earliest)
                        .subscribe();
                Producer<byte[]> producer = client.newProducer().topic(topic).create()) {
            for (int i = 0; i < count; i++) {
                producer.send(body(i));
            }
            for (int i = 0; i < count; i++) {
                if (!Arrays.equals(consumer.receive().getData(), body(i))) {
                    throw new AssertionError("message " + i + " is another one");
                }
            }
        }
        System.out.println("Java client " + PulsarVersion.getVersion() + ": " + count + " messages there and back");
        System.exit(0);
    }

    private static byte[] body(int number) {
        byte[] bytes = new byte[1_000_000];
        new Random(number).nextBytes(bytes);
        return bytes;
    }
}
