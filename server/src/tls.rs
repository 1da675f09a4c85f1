//! Who this server is: the certificate for https, wss and QUIC, read from files, or made here for
//! QUIC and kept in the store, so that who pinned it finds it again after a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::config::Config;
use crate::store::{Store, StoreError};

/// What a QUIC connection speaks.
pub(crate) const QUIC_ALPN: &[u8] = b"referee/1";
/// What a TCP connection speaks.
const HTTP_ALPN: &[u8] = b"http/1.1";

/// How long a certificate that is made here holds, in days.
const VALID_DAYS: u64 = 365;
/// A certificate that holds for less is made anew at the next start, in days.
const RENEW_DAYS: u64 = 30;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Under which name the store keeps it.
const KEPT_AS: &str = "quic_identity";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{flag} {file}: {why}; give a PEM file with {what}", file = file.display())]
    File {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
        /// What must be in it.
        what: &'static str,
    },
    /// The certificate and the key cannot be used together.
    #[error(
        "--tls-cert {cert} and --tls-key {key}: {why}; give a certificate, its chain behind it, and \
         the key that it was made for", cert = cert.display(), key = key.display()
    )]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// No certificate could be made for QUIC.
    #[error("no certificate can be made for QUIC: {0}; --no-quic does without")]
    Own(String),
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A certificate with its chain, and its key.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// What the edge needs of TLS.
pub(crate) struct Tls {
    /// For TCP: https and wss. None: http and ws.
    pub(crate) tcp: Option<Arc<ServerConfig>>,
    /// For QUIC, unless it is off.
    pub(crate) quic: Option<QuicTls>,
}

/// TLS within QUIC.
pub(crate) struct QuicTls {
    pub(crate) config: Arc<ServerConfig>,
    /// The hash of a certificate that was made here, for clients to pin.
    pub(crate) pin: Option<[u8; 32]>,
}

impl Tls {
    /// As the settings say.
    ///
    /// # Errors
    /// Names the flag, the file, and what is wrong with it.
    pub(crate) fn new(config: &Config, store: &Store) -> Result<Self, TlsError> {
        let given = match (&config.tls_cert, &config.tls_key) {
            (Some(cert), Some(key)) => {
                let identity = Identity::read(cert, key)?;
                let pair =
                    |why: String| TlsError::Pair { cert: cert.clone(), key: key.clone(), why };
                let tcp = identity.config(HTTP_ALPN, false).map_err(pair)?;
                Some((identity, tcp))
            }
            // The settings are checked before: there are both, or none.
            _ => None,
        };
        let quic = match &given {
            _ if !config.quic => None,
            Some((identity, _)) => Some((identity.config(QUIC_ALPN, true), None)),
            None => {
                let own = own(store)?;
                let pin = Sha256::digest(&own.chain[0]).into();
                Some((own.config(QUIC_ALPN, true), Some(pin)))
            }
        };
        let quic = match quic {
            Some((config, pin)) => {
                Some(QuicTls { config: Arc::new(config.map_err(TlsError::Own)?), pin })
            }
            None => None,
        };
        Ok(Self { tcp: given.map(|(_, tcp)| Arc::new(tcp)), quic })
    }
}

impl Identity {
    fn read(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let refuse = |flag, file: &Path, what, why: String| TlsError::File {
            flag,
            file: file.to_owned(),
            why,
            what,
        };
        let no_cert = |why| refuse("--tls-cert", cert, "one certificate or more", why);
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(cert).map_err(|error| no_cert(plain(&error)))?.collect();
        let chain = chain.map_err(|error| no_cert(plain(&error)))?;
        if chain.is_empty() {
            return Err(no_cert("no certificate is in it".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| refuse("--tls-key", key, "a private key", plain(&error)))?;
        Ok(Self { chain, key })
    }

    /// QUIC is made of TLS 1.3 and nothing older.
    fn config(&self, alpn: &[u8], only_13: bool) -> Result<ServerConfig, String> {
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let versions: &[_] = match only_13 {
            true => &[&rustls::version::TLS13],
            false => &[&rustls::version::TLS13, &rustls::version::TLS12],
        };
        let made = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .and_then(|builder| {
                let builder = builder.with_no_client_auth();
                builder.with_single_cert(self.chain.clone(), self.key.clone_key())
            });
        let mut config = made.map_err(|error| error.to_string())?;
        config.alpn_protocols = vec![alpn.to_vec()];
        // A Hello that somebody replays must not count: no data before the handshake is done.
        config.max_early_data_size = 0;
        Ok(config)
    }
}

fn plain(error: &rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::Io(error) => error.to_string(),
        Error::NoItemsFound => "nothing of that kind is in it".to_owned(),
        other => other.to_string(),
    }
}

/// A certificate that was made here, as the store keeps it.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Until when it holds, in seconds since 1970.
    until_unix_s: u64,
    /// DER.
    cert: Vec<u8>,
    /// PKCS 8.
    key: Vec<u8>,
}

impl Kept {
    fn make(now: Duration) -> Result<Self, String> {
        let until = now + DAY * VALID_DAYS as u32;
        let date = |at: Duration| {
            OffsetDateTime::from_unix_timestamp(at.as_secs() as i64).map_err(|e| e.to_string())
        };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| e.to_string())?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let mut params = CertificateParams::new(names).map_err(|e| e.to_string())?;
        // Clocks differ.
        params.not_before = date(now.saturating_sub(DAY))?;
        params.not_after = date(until)?;
        let cert = params.self_signed(&key).map_err(|e| e.to_string())?;
        let (cert, key) = (cert.der().to_vec(), key.serialize_der());
        Ok(Self { until_unix_s: until.as_secs(), cert, key })
    }

    fn identity(self) -> Identity {
        Identity {
            chain: vec![CertificateDer::from(self.cert)],
            key: PrivatePkcs8KeyDer::from(self.key).into(),
        }
    }
}

/// The certificate that the store has, or a new one when it has none, or none that holds for long.
fn own(store: &Store) -> Result<Identity, TlsError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let kept = store.kept(KEPT_AS)?.and_then(|kept| rmp_serde::from_slice::<Kept>(&kept).ok());
    let lasting = |kept: &Kept| kept.until_unix_s > (now + DAY * RENEW_DAYS as u32).as_secs();
    if let Some(kept) = kept.filter(lasting) {
        return Ok(kept.identity());
    }
    let made = Kept::make(now).map_err(TlsError::Own)?;
    let bytes = rmp_serde::to_vec(&made).map_err(|error| TlsError::Own(error.to_string()))?;
    store.keep(KEPT_AS, &bytes)?;
    Ok(made.identity())
}
