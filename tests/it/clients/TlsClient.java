import java.io.FileInputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/** TlsClient NAME PORT CA: sends stdin to 127.0.0.1:PORT through TLS, prints what comes back. */
public class TlsClient {
    public static void main(String[] arguments) throws Exception {
        String name = arguments[0];
        int port = Integer.parseInt(arguments[1]);
        byte[] payload = System.in.readAllBytes();

        Socket plain = new Socket("127.0.0.1", port);
        plain.setSoTimeout(30_000);
        try (SSLSocket tls = (SSLSocket)
                trusting(arguments[2]).getSocketFactory().createSocket(plain, name, port, true)) {
            SSLParameters parameters = tls.getSSLParameters();
            // What the Pulsar client sets for tlsHostnameVerificationEnable.
            parameters.setEndpointIdentificationAlgorithm("HTTPS");
            tls.setSSLParameters(parameters);
            tls.startHandshake();

            OutputStream out = tls.getOutputStream();
            Thread sender = new Thread(() -> {
                try {
                    out.write(payload);
                    out.flush();
                } catch (Exception e) {
                    e.printStackTrace();
                }
            });
            sender.start();
            InputStream in = tls.getInputStream();
            byte[] back = in.readNBytes(payload.length);
            sender.join();
            System.out.write(back, 0, back.length);
            System.out.flush();
        }
    }

    private static SSLContext trusting(String authority) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (InputStream pem = new FileInputStream(authority)) {
            store.setCertificateEntry(
                    "authority", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        TrustManagerFactory trust =
                TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }
}
