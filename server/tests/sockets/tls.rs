//! https and wss, and what is said when the files are wrong.

use std::path::{Path, PathBuf};

use referee_client_tokio::{Client, Options};
use referee_server::config::Config;
use referee_server::run::Server;
use sha2::{Digest, Sha256};

use crate::site::{Site, all_games, counts, press, soon};

/// A certificate and its key as files, and the certificate's hash.
fn files(name: &str) -> (PathBuf, PathBuf, [u8; 32]) {
    let dir = std::env::temp_dir().join(format!("referee-tls-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (cert, key, Sha256::digest(made.cert.der()).into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_match_is_played_over_wss_and_quic_with_the_given_certificate() {
    let (cert, key, pin) = files("match");
    let site = Site::new(|config| {
        config.tls_cert = Some(cert);
        config.tls_key = Some(key);
    });
    let options = || Options { pin: Some(pin), ..Options::default() };
    let join = async |scheme: &str| {
        let url = format!("{scheme}://{}/flood/a", site.authority());
        soon(Client::connect(&url, options())).await.unwrap()
    };
    let (secure, quic) = (join("wss").await, join("quic").await);
    for client in [&secure, &quic] {
        let tick = client.with(|session| session.tick());
        // Every state is large: much of it waits, and leaves.
        soon(client.wait_until(|session| session.tick().0 > tick.0 + 30)).await.unwrap();
    }
    let url = format!("wss://{}/count/a", site.authority());
    let player = soon(Client::connect(&url, options())).await.unwrap();
    for count in 1..=20 {
        press(&player);
        counts(&player, count).await;
    }
}

fn fault(cert: &Path, key: &Path) -> String {
    let name =
        format!("referee-tls-fault-{}-{:?}", std::process::id(), std::thread::current().id());
    let config = Config {
        port: 0,
        data: std::env::temp_dir().join(name),
        tls_cert: Some(cert.to_owned()),
        tls_key: Some(key.to_owned()),
        ..Config::default()
    };
    Server::start(all_games(), config).err().expect("it does not start").to_string()
}

#[test]
fn files_that_do_not_do_are_named_with_their_flag() {
    let (cert, key, _) = files("fault");
    let (_, other, _) = files("other");
    let missing = Path::new("nowhere.pem");
    let error = fault(missing, &key);
    assert!(error.contains("--tls-cert nowhere.pem"), "{error}");
    let error = fault(&cert, missing);
    assert!(error.contains("--tls-key nowhere.pem"), "{error}");
    let error = fault(&key, &cert);
    assert!(error.contains("--tls-cert") && error.contains("key.pem"), "{error}");
    let error = fault(&cert, &other);
    assert!(error.contains("--tls-cert") && error.contains("--tls-key"), "{error}");
}
