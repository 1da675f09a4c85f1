//! What the server says of itself at `/metrics`.

use std::collections::BTreeMap;

use referee_client_tokio::Code;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::site::{Site, counts, press, soon, until};

/// Samples by their whole name, labels included.
type Samples = BTreeMap<String, f64>;

/// Reads the text, and finds fault with whatever the format does not allow.
fn parse(text: &str) -> Samples {
    let body = text.strip_suffix("# EOF\n").expect("it ends with EOF");
    let (mut helps, mut kinds) = (BTreeMap::new(), BTreeMap::new());
    let mut samples = Samples::new();
    let mut family = String::new();
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect(line);
            assert!(helps.insert(name.to_owned(), help).is_none(), "twice: {line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect(line);
            assert!(kinds.insert(name.to_owned(), kind).is_none(), "twice: {line}");
            assert!(helps.contains_key(name), "no help: {line}");
            name.clone_into(&mut family);
        } else {
            let (name, value) = line.rsplit_once(' ').expect(line);
            let bare = name.split('{').next().unwrap();
            let suffix = bare.strip_prefix(&*family).unwrap_or_else(|| panic!("{family}: {line}"));
            let fits = match kinds[&family] {
                "counter" => suffix == "_total",
                "gauge" => suffix.is_empty(),
                "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
                other => panic!("{other}: {line}"),
            };
            assert!(fits && bare.starts_with("referee_"), "{line}");
            let fits = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
            assert!(bare.chars().all(fits), "{line}");
            let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(samples.insert(name.to_owned(), value).is_none(), "twice: {line}");
        }
    }
    for (name, _) in kinds.iter().filter(|(_, kind)| **kind == "histogram") {
        check_histogram(name, body, &samples);
    }
    samples
}

/// Buckets rise to the count.
fn check_histogram(name: &str, text: &str, samples: &Samples) {
    let prefix = format!("{name}_bucket{{le=\"");
    let buckets: Vec<(f64, f64)> = text
        .lines()
        .filter_map(|line| line.strip_prefix(&*prefix)?.split_once("\"} "))
        .map(|(bound, count)| {
            (if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() }, count)
        })
        .map(|(bound, count)| (bound, count.parse().unwrap()))
        .collect();
    assert!(buckets.len() > 5 && buckets.is_sorted(), "{name}: {buckets:?}");
    let counts: Vec<f64> = buckets.iter().map(|bucket| bucket.1).collect();
    assert!(counts.is_sorted(), "{name}: {counts:?}");
    let all = buckets.last().unwrap();
    assert_eq!(*all, (f64::INFINITY, samples[&format!("{name}_count")]));
}

async fn read(site: &Site) -> Samples {
    let (status, text) = site.http("GET", "metrics").await;
    assert_eq!(status, 200, "{text}");
    parse(&text)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_move_as_the_server_does() {
    let site = Site::new(|_| {});
    let before = read(&site).await;
    for name in ["rooms", "players", "connections{transport=\"ws\"}", "ticks_total"] {
        assert_eq!(before[&format!("referee_{name}")], 0.0, "{name}");
    }
    let (ann, bob) = (site.join("count/a").await, site.join("ticker/b").await);
    press(&ann);
    counts(&ann, 1).await;
    soon(bob.wait_until(|session| session.tick().0 > 20)).await.unwrap();
    site.refused("chess/a", referee_client_tokio::Options::default()).await;
    let after = read(&site).await;
    let value = |name: &str| after[&format!("referee_{name}")];
    assert_eq!((value("rooms"), value("players")), (2.0, 2.0));
    assert_eq!(value("connections{transport=\"ws\"}"), 2.0);
    assert_eq!(value("connections{transport=\"quic\"}"), 0.0);
    assert_eq!(value("entries_total{kind=\"join\"}"), 2.0);
    assert_eq!(value("entries_total{kind=\"action\"}"), 1.0);
    assert_eq!(value("drops_total{reason=\"unknown_game\"}"), 1.0);
    assert!(value("ticks_total") >= 22.0 && value("tick_lateness_seconds_count") >= 20.0);
    // Read one after the other, while rooms tick.
    let felt = value("tick_seconds_count") + value("ticks_unattended_total");
    assert!((value("ticks_total") - felt).abs() <= 5.0, "{felt}");
    assert!(value("tick_seconds_sum") > 0.0);
    assert!(value("bytes_in_total") > 0.0 && value("bytes_out_total") > 0.0);
    assert!(value("messages_in_total") > 3.0 && value("messages_out_total") > 20.0);
    for name in before.keys().filter(|name| name.contains("_total")) {
        assert!(after[name] >= before[name], "{name} went back");
    }

    drop(bob);
    let metrics = site.metrics();
    until(|| metrics.players.get() == 1).await;
    let later = read(&site).await;
    assert_eq!(later["referee_drops_total{reason=\"gone\"}"], 1.0);
    assert_eq!(later["referee_entries_total{kind=\"drop\"}"], 1.0);
    // After so many ticks what the first player did is in a snapshot on disk.
    for number in 2..=80 {
        press(&ann);
        counts(&ann, number).await;
    }
    let written = async { while read(&site).await["referee_store_bytes_total"] == 0.0 {} };
    soon(written).await;
    let stored = read(&site).await;
    assert!(stored["referee_store_commits_total"] >= 1.0);
    assert!(stored["referee_store_seconds_total"] > 0.0);
    assert_eq!(metrics.ends(Code::SlowReader), 0);
}

#[tokio::test]
async fn the_numbers_are_behind_the_same_doors_as_all_the_rest() {
    let site = Site::new(|_| {});
    let asking = async {
        let mut stream = TcpStream::connect(site.authority()).await.unwrap();
        let head = "GET /metrics HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = soon(asking).await;
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    assert!(!answer.contains("referee_rooms"), "{answer}");
    let (status, _) = site.http("POST", "metrics").await;
    assert_eq!(status, 405);
}
