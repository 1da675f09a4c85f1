//! The binary against a server with a certificate that the system does not know.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rcgen::{CertificateParams, DnType, KeyPair};
use referee_server::config::Config;

use crate::site::Site;

/// A server over https, the file of its certificate, and its folder.
fn site() -> (Site, PathBuf) {
    let folder = crate::site::folder();
    std::fs::create_dir_all(&folder).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let config = Config { tls_cert: Some(cert.clone()), tls_key: Some(key), ..Config::default() };
    (Site::of(config), cert)
}

fn load(site: &Site, transport: &str, cert: &Path) -> Output {
    let mut load = Command::new(env!("CARGO_BIN_EXE_referee-loadtest"));
    load.args(["--url", &format!("https://localhost:{}", site.port()), "--game", "counter"]);
    load.args(["--duration", "1s", "--lag-limit", "10s", "--json", "-", "--transport", transport]);
    load.env("SSL_CERT_FILE", cert);
    load.output().unwrap()
}

#[test]
fn a_server_over_https_is_measured_as_any_other() {
    let (site, cert) = site();
    for transport in ["ws", "mix"] {
        let output = load(&site, transport, &cert);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(report["server"]["tick_mean_ms"].as_f64() > Some(0.0), "{report:#}");
        assert!(report["server"]["rss_bytes"].as_u64() > Some(0), "{report:#}");
    }
    std::fs::remove_dir_all(cert.parent().unwrap()).unwrap();
}

#[test]
fn who_does_not_know_its_certificate_is_told_what_to_do() {
    let (site, cert) = site();
    let mut other = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    other.distinguished_name.push(DnType::CommonName, "another one");
    let other = other.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let others = cert.with_file_name("other.pem");
    std::fs::write(&others, other.pem()).unwrap();
    for transport in ["ws", "quic"] {
        let output = load(&site, transport, &others);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("UnknownIssuer") && said.contains("SSL_CERT_FILE"), "{said}");
    }
    std::fs::remove_dir_all(cert.parent().unwrap()).unwrap();
}
