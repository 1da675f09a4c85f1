//! A client's line into its room, wherever that is: in memory, parked, or on its way back.

use std::rc::Rc;

use referee_protocol::{LinkId, Refusal};

use super::parked::News;
use super::thread::{Place, Thread};
use crate::transport::Peer;

/// See the module's documentation.
pub(super) struct Line {
    pub(super) thread: Rc<Thread>,
    pub(super) place: Rc<Place>,
    pub(super) link: LinkId,
}

impl Line {
    /// Tells a parked room what it has to come back for. False where it is not parked.
    fn ends(&self, news: News) -> bool {
        let told = self.place.parked(|parked| parked.ends(self.link, news)).is_some();
        self.thread.rouse_for_news(&self.place);
        told
    }

    fn must_wait(&self) -> bool {
        match self.place.parked(|parked| parked.has_news_of(self.link)) {
            Some(waits) => waits,
            None => self.place.with(|live| !live.may_say(self.link)),
        }
    }
}

impl Peer for Line {
    fn message(&self, bytes: &[u8]) -> bool {
        let (house, key) = (&self.thread.house, &self.place.key);
        match self.place.parked(|parked| parked.message(house, key, self.link, bytes)) {
            Some(more) => {
                self.thread.rouse_for_news(&self.place);
                more
            }
            None => !self.place.with(|live| !live.message(self.link, bytes)),
        }
    }

    async fn ready(&self) {
        while self.must_wait() {
            self.place.signals.ticked.notified().await;
        }
    }

    fn written(&self) {
        // A parked room looks itself, when it is back.
        self.place.with(|live| live.written(self.link));
    }

    fn fault(&self, refusal: &Refusal) {
        if !self.ends(News::Fault(refusal.clone())) {
            self.place.with(|live| live.end(self.link, refusal));
        }
    }

    fn gone(&self) {
        if !self.ends(News::Gone) {
            self.place.with(|live| live.gone(self.link));
        }
    }
}
