//! A QUIC client made by hand, for what ours does not do: another protocol's name, early data, half a
//! message. It believes any certificate.

use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connecting, Connection, Endpoint, RecvStream, SendStream};
use referee_protocol::bits::write_varint;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

/// What our clients speak.
pub(crate) const ALPN: &[u8] = b"referee/1";

/// A client with an endpoint of its own. It keeps what lets it come back without a whole handshake,
/// and would send early data if it might.
pub(crate) struct BareQuic {
    endpoint: Endpoint,
    port: u16,
}

impl BareQuic {
    /// Of a server at this port of this machine, with these protocols.
    pub(crate) fn new(port: u16, alpn: &[&[u8]]) -> Self {
        let provider = Arc::new(ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Credulous(provider)))
            .with_no_client_auth();
        tls.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        tls.enable_early_data = true;
        let tls = QuicClientConfig::try_from(tls).unwrap();
        let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(tls)));
        Self { endpoint, port }
    }

    pub(crate) fn connect(&self) -> Connecting {
        self.endpoint.connect(([127, 0, 0, 1], self.port).into(), "localhost").unwrap()
    }

    /// A connection whose stream has these bytes on it.
    pub(crate) async fn say(&self, bytes: &[u8]) -> Said {
        let connection = self.connect().await.unwrap();
        let (mut send, receive) = connection.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        Said { connection, _stream: (send, receive) }
    }
}

/// A connection and its stream, both open until it is dropped.
pub(crate) struct Said {
    pub(crate) connection: Connection,
    _stream: (SendStream, RecvStream),
}

/// A message behind its length.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![];
    write_varint(&mut bytes, message.len() as u64);
    bytes.extend_from_slice(message);
    bytes
}

/// Takes every certificate.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        unreachable!("QUIC has no TLS 1.2")
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
