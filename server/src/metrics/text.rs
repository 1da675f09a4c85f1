//! All numbers as text for `/metrics`, in the OpenMetrics format. Read when somebody asks; counting
//! costs nothing for it.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use referee_protocol::Code;
use referee_room::Entry;

use super::{Durations, Metrics, Transport};
use crate::store::{JournalStats, StoreStats};

/// What the text is.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The numbers as text.
pub(crate) fn encode(metrics: &Arc<Metrics>, store: StoreStats) -> String {
    let mut registry = Registry::with_prefix("referee");
    registry.register_collector(Box::new(Reading { metrics: metrics.clone(), store }));
    let mut out = String::new();
    text::encode(&mut out, &registry).expect("a string takes all text");
    out
}

#[derive(Debug)]
struct Reading {
    metrics: Arc<Metrics>,
    store: StoreStats,
}

/// Writes one kind of number after the other.
struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode_gauge(&value)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// A family with one label. Of counters, unless it is said to be of gauges.
    fn family(
        &mut self,
        (name, help, kind): (&str, &str, MetricType),
        label: &'static str,
        values: impl Iterator<Item = (&'static str, u64)>,
    ) -> fmt::Result {
        let gauge = matches!(kind, MetricType::Gauge);
        let mut metric = self.0.encode_descriptor(name, help, None, kind)?;
        for (of, value) in values {
            let labels = [(label, of)];
            let mut one = metric.encode_family(&labels)?;
            match gauge {
                true => one.encode_gauge(&value)?,
                false => one.encode_counter::<NoLabelSet, _, u64>(&value, None)?,
            }
        }
        Ok(())
    }

    fn histogram(&mut self, name: &str, help: &str, durations: &Durations) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        let buckets = durations.buckets();
        // Counted once: the parts must agree with each other, also while others count on.
        let count = buckets.iter().map(|bucket| bucket.1).sum();
        metric.encode_histogram::<NoLabelSet>(durations.seconds(), count, &buckets, None)
    }
}

impl Collector for Reading {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (mut out, metrics) = (Writer(encoder), &*self.metrics);
        rooms(&mut out, metrics)?;
        clients(&mut out, metrics)?;
        ticks(&mut out, metrics)?;
        store(&mut out, &self.store)?;
        journal(&mut out, &self.store.journal)
    }
}

fn rooms(out: &mut Writer<'_>, metrics: &Metrics) -> fmt::Result {
    let started = metrics.started.get();
    out.gauge("start_time_seconds", "When the server began, in seconds since 1970", started)?;
    out.gauge("rooms", "Rooms loaded", metrics.rooms.get())?;
    out.counter("rooms_made", "Rooms made anew", metrics.rooms_made.get())?;
    out.counter("rooms_loaded", "Rooms loaded from the store", metrics.rooms_loaded.get())?;
    out.counter("rooms_woken", "Rooms loaded for an alarm", metrics.rooms_woken.get())?;
    let slowed = metrics.rooms_slowed.get();
    out.gauge("rooms_slowed", "Rooms whose ticks take more than they may", slowed)?;
    let paced = metrics.threads_paced.get();
    out.gauge("threads_paced", "Host threads that send states in some ticks only", paced)?;
    let parked = metrics.rooms_parked.get();
    out.gauge("rooms_parked", "Rooms out of memory, their connections open", parked)?;
    out.counter("parks", "Rooms put out of memory so", metrics.parks.get())?;
    let of_paced = metrics.ticks_paced.get();
    out.counter("ticks_paced", "Ticks of rooms that sent states in some ticks only", of_paced)?;
    let given_up = metrics.threads_given_up.get();
    out.counter("threads_given_up", "Host threads on which a room's turn did not end", given_up)?;
    out.counter("migrations", "Rooms that went to another host thread", metrics.migrations.get())?;
    out.counter("wakes", "Parked rooms that came back", metrics.wakes.get())?;
    let help = "Time until a parked room is back that somebody waits for";
    out.histogram("wake_seconds", help, &metrics.wake_seconds)?;
    out.counter("alarms", "Alarms that came due in rooms", metrics.alarms.get())?;
    out.counter("rooms_failed", "Rooms whose game failed", metrics.rooms_failed.get())?;
    let failed = metrics.loads_failed.get();
    out.counter("loads_failed", "Times that a stored room could not be loaded", failed)?;
    let marked = metrics.rooms_marked.get();
    out.gauge("rooms_marked", "Stored rooms refused because they cannot be loaded", marked)?;
    out.counter("requests", "HTTP requests into rooms", metrics.requests.get())
}

fn clients(out: &mut Writer<'_>, metrics: &Metrics) -> fmt::Result {
    out.gauge("players", "Seats whose client is connected", metrics.players.get())?;
    let connections = ("connections", "Connections in rooms", MetricType::Gauge);
    let transports = Transport::ALL.iter();
    let of = transports.map(|of| (of.name(), metrics.connections_by(*of).get()));
    out.family(connections, "transport", of)?;
    let waiting = metrics.hellos_waiting.get();
    out.gauge("hellos_waiting", "Connections that have not said Hello yet", waiting)?;
    let retries = metrics.quic_retries.get();
    out.counter("quic_retries", "QUIC clients asked to show their address", retries)?;
    out.counter("bytes_in", "Bytes of messages from clients", metrics.bytes_in.get())?;
    out.counter("bytes_out", "Bytes of messages to clients", metrics.bytes_out.get())?;
    out.counter("messages_in", "Messages from clients", metrics.messages_in.get())?;
    out.counter("messages_out", "Messages to clients", metrics.messages_out.get())?;
    let held = metrics.messages_held.get();
    out.counter("messages_held", "Messages the network did not take at once", held)?;
    let drops = ("drops", "Connections refused or ended, by reason", MetricType::Counter);
    let codes = Code::ALL.iter().map(|code| (code.name(), metrics.ends(*code)));
    out.family(drops, "reason", codes.chain([("gone", metrics.gone.get())]))
}

fn ticks(out: &mut Writer<'_>, metrics: &Metrics) -> fmt::Result {
    out.counter("ticks", "Ticks run", metrics.ticks.get())?;
    let unattended = metrics.ticks_unattended.get();
    out.counter("ticks_unattended", "Ticks of rooms to which nobody is connected", unattended)?;
    let help = "Time of a tick while somebody is connected, its sends included";
    out.histogram("tick_seconds", help, &metrics.tick_seconds)?;
    let help = "Time from when a realtime tick was due to when it began";
    out.histogram("tick_lateness_seconds", help, &metrics.tick_lateness)?;
    let slips = metrics.slips.get();
    out.counter("slips", "Realtime ticks left out because the room fell behind", slips)?;
    let overruns = metrics.overruns.get();
    out.counter("overruns", "Realtime ticks that took longer than their period", overruns)?;
    let entries = ("entries", "Entries into rooms, by kind", MetricType::Counter);
    let kinds = Entry::KINDS.iter().zip(&metrics.entries);
    out.family(entries, "kind", kinds.map(|(kind, count)| (*kind, count.get())))?;
    let skips = metrics.skips.get();
    out.counter("skips", "States not made because a client was behind", skips)?;
    let late = metrics.inputs_late.get();
    out.counter("inputs_late", "Input samples that came after their tick", late)?;
    let unseated = metrics.unseated.get();
    out.counter("unseated", "Inputs and actions of clients without a seat", unseated)
}

fn store(out: &mut Writer<'_>, store: &StoreStats) -> fmt::Result {
    out.counter("store_commits", "Transactions of the store", store.commits)?;
    out.counter("store_failures", "Transactions that failed", store.failed_writes)?;
    out.counter("store_bytes", "Bytes of rooms written", store.bytes_written)?;
    let seconds = store.commit_time.as_secs_f64();
    out.seconds("store_seconds", "Time spent in transactions", seconds)?;
    out.gauge("store_queue_rooms", "Rooms that wait to be written", store.rooms_waiting as u64)?;
    out.gauge("store_queue_bytes", "Bytes that wait to be written", store.bytes_waiting as u64)?;
    out.gauge("store_file_bytes", "Size of the file of the rooms", store.file_bytes)?;
    let help = "Bytes that values take in the file of the rooms";
    out.gauge("store_used_bytes", help, store.used_bytes)?;
    let help = "Bytes written once more to make the file of the rooms smaller";
    out.counter("store_moved_bytes", help, store.moved_bytes)
}

fn journal(out: &mut Writer<'_>, journal: &JournalStats) -> fmt::Result {
    out.counter("journal_commits", "Transactions of the journal", journal.commits)?;
    out.counter(
        "journal_failures",
        "Batches that were not written at once",
        journal.failed_writes,
    )?;
    out.counter("journal_moves", "Transactions from its log into its database", journal.moves)?;
    out.counter("journal_bytes", "Bytes of chunks written", journal.bytes_written)?;
    out.counter("journal_chunks", "Chunks written", journal.chunks_written)?;
    let seconds = journal.commit_time.as_secs_f64();
    out.seconds("journal_seconds", "Time spent in transactions", seconds)?;
    let help = "Chunks refused because too much waited";
    out.counter("journal_refused", help, journal.refused)?;
    let help = "Chunks moved beside their rooms' snapshots";
    out.counter("journal_settled", help, journal.settled)?;
    let waiting = journal.chunks_waiting as u64;
    out.gauge("journal_queue_chunks", "Chunks that wait to be written", waiting)?;
    let waiting = journal.bytes_waiting as u64;
    out.gauge("journal_queue_bytes", "Bytes that wait to be written", waiting)?;
    let help = "Rooms with more in the journal than in their snapshot";
    out.gauge("journal_rooms", help, journal.rooms as u64)?;
    out.gauge("journal_batches", "Batches in the journal's file", journal.batches as u64)
}
