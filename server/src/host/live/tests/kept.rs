//! A match that is kept whole, over what a crash leaves of it.

use super::*;
use crate::store::JournalKeep;
use crate::tools;

/// So many presses, after those that there were.
fn press(live: &mut Live, link: LinkId, presses: std::ops::RangeInclusive<u64>) {
    for number in presses {
        live.message(link, &action(number, 0));
        rest(live);
    }
}

#[tokio::test]
async fn what_was_never_saved_is_in_the_history_after_a_crash() {
    let mut config = Config::default();
    config.store.journal_keep = JournalKeep::Match;
    for saved in [false, true] {
        let site = site(config.clone());
        let mut live = live(&site);
        let (link, _wire) = come(&mut live, wish());
        press(&mut live, link, 1..=40);
        if saved {
            assert!(live.save_now());
        }
        press(&mut live, link, 41..=100);
        site.house.store.flush().await.unwrap();
        // As a crash leaves it: neither sealed nor saved.
        drop(live);

        let stored = site.house.store.load(&key()).unwrap().unwrap();
        assert_eq!(stored.snapshot.is_some(), saved);
        let (begins, passages) = Remains::stored(stored).unwrap();
        let base = begins.base.clone();
        let revived = Revival::new(&template(&site), base, passages, [3; 32]).finish().unwrap();
        let (room, remains) = begins.revived(revived);
        let mut live = Live::new(Parts { remains, ..parts(&site, room, 2, unix_ms()) });
        rest(&mut live);
        live.seal();
        drop(live);
        site.house.store.close().unwrap();

        let config = Config { data: site.folder.clone(), ..config.clone() };
        let replay = tools::replay(&site.house.games, &config, "count/m").unwrap();
        assert!(replay.starts_with("count/m: ticks 0 to "), "saved: {saved}: {replay}");
    }
}
