import java.io.FileInputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLHandshakeException;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/** Loads name, certificate, key and authority as netty's SslContext does: PKCS#8, a key store of them. */
public class LoadPem {
    public static void main(String[] files) throws Exception {
        int count = 0;
        for (int at = 0; at < files.length; at += 4) {
            check(files[at], files[at + 1], files[at + 2], files[at + 3]);
            count++;
        }
        System.out.println(count + " loaded, trusted, checked by name");
    }

    static void check(String name, String certificate, String key, String authority) throws Exception {
        X509Certificate[] chain = read(certificate);
        PrivateKey privateKey = key(Path.of(key), chain[0].getPublicKey().getAlgorithm());
        Signature signature = Signature.getInstance(
            privateKey.getAlgorithm().equals("RSA") ? "SHA256withRSA" : "SHA256withECDSA");
        signature.initSign(privateKey);
        byte[] signed = signature.sign();
        signature.initVerify(chain[0]);
        if (!signature.verify(signed)) throw new Exception(key + " is not of " + certificate);

        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        store.setKeyEntry("key", privateKey, new char[0], chain);
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(store, new char[0]);

        KeyStore trust = KeyStore.getInstance(KeyStore.getDefaultType());
        trust.load(null, null);
        trust.setCertificateEntry("authority", read(authority)[0]);
        TrustManagerFactory trusted = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trusted.init(trust);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trusted.getTrustManagers(), null);

        shakeHands(context, name);
        try {
            shakeHands(context, "other.fate.org");
        } catch (SSLHandshakeException expected) {
            return;
        }
        throw new Exception(certificate + " is taken for other.fate.org");
    }

    /** On loopback, client certificates asked for, the name checked as HTTPS does. */
    static void shakeHands(SSLContext context, String name) throws Exception {
        InetAddress loopback = InetAddress.getLoopbackAddress();
        try (SSLServerSocket listener =
                (SSLServerSocket) context.getServerSocketFactory().createServerSocket(0, 1, loopback)) {
            listener.setNeedClientAuth(true);
            Thread server = new Thread(() -> {
                try (SSLSocket socket = (SSLSocket) listener.accept()) {
                    socket.getInputStream().read();
                    socket.getOutputStream().write(1);
                } catch (Exception refused) {
                    // The client says why.
                }
            });
            server.start();
            Socket plain = new Socket(loopback, listener.getLocalPort());
            try (SSLSocket client = (SSLSocket) context.getSocketFactory().createSocket(plain, name, 443, true)) {
                SSLParameters parameters = client.getSSLParameters();
                parameters.setEndpointIdentificationAlgorithm("HTTPS");
                client.setSSLParameters(parameters);
                client.startHandshake();
                client.getOutputStream().write(1);
                if (client.getInputStream().read() != 1) throw new Exception(name + ": closed by the server");
            } finally {
                server.join();
            }
        }
    }

    static X509Certificate[] read(String file) throws Exception {
        try (FileInputStream in = new FileInputStream(file)) {
            return CertificateFactory.getInstance("X.509").generateCertificates(in).toArray(new X509Certificate[0]);
        }
    }

    static PrivateKey key(Path file, String algorithm) throws Exception {
        String text = Files.readString(file);
        if (!text.startsWith("-----BEGIN PRIVATE KEY-----\n")) throw new Exception(file + " is not PKCS#8");
        byte[] der = Base64.getMimeDecoder().decode(text.replaceAll("-----[A-Z ]+-----", ""));
        return KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(der));
    }
}
