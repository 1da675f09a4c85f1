use referee_protocol::codec::{Baselines, Codec, View, Training};
use referee_protocol::*;
use std::time::Instant;
use std::collections::BTreeSet;

fn f(min: f64, max: f64, step: f64, wraps: bool) -> FieldType { FieldType::Float { min, max, step, wraps } }
fn def(name: &str, ty: FieldType, moves_by: Option<u16>) -> TypeDef { TypeDef { name: name.into(), resource: false, ty, moves_by } }
fn v2(t: FieldType) -> FieldType { FieldType::Struct { fields: ["x", "y"].map(|n| Member { name: n.into(), ty: t.clone() }).to_vec() } }
struct Rng(u64);
impl Rng { fn next(&mut self) -> u32 { self.0 ^= self.0 << 13; self.0 ^= self.0 >> 7; self.0 ^= self.0 << 17; (self.0 >> 20) as u32 } }

type Frame = Vec<Option<Vec<(u16, Vec<u32>)>>>;

fn arena(path: &str) -> (Schema, Vec<Frame>) {
    let int = |span| FieldType::Int { min: 0, span };
    let schema = Schema { kind: Kind::Realtime, inputs: vec![], actions: vec![], events: vec![], tables: vec![], components: vec![
        def("Position", v2(f(0.0, 1000.0, 1.0 / 16.0, false)), Some(1)),
        def("Velocity", v2(f(-120.0, 120.0, 0.125, false)), None),
        def("Aim", f(0.0, std::f64::consts::TAU, std::f64::consts::TAU / 256.0, true), None),
        def("Health", int(100), None),
        def("Score", int(65535), None),
        def("State", int(2), None),
    ]};
    let bytes = std::fs::read(path).unwrap();
    let frames = bytes.chunks_exact(164 * 25).map(|frame| frame.chunks_exact(25).enumerate().map(|(n, s)| {
        if s[0] == 0 { return None; }
        let g = |at: usize| f64::from(f32::from_le_bytes(s[at..at + 4].try_into().unwrap()));
        let w = |v: f64, min: f64, max: f64, step: f64, wr: bool| value::float_word(v, min, max, step, wr);
        let p = |v| w(v, 0.0, 1000.0, 1.0 / 16.0, false);
        let v = |x| w(x, -120.0, 120.0, 0.125, false);
        let mut c = vec![(0, vec![p(g(1)), p(g(5))]), (1, vec![v(g(9)), v(g(13))])];
        if n < 100 {
            c.push((2, vec![w(g(17), 0.0, std::f64::consts::TAU, std::f64::consts::TAU / 256.0, true)]));
            c.push((3, vec![u32::from(s[21])]));
            c.push((4, vec![u32::from(u16::from_le_bytes([s[22], s[23]]))]));
            c.push((5, vec![u32::from(s[24])]));
        }
        Some(c)
    }).collect()).collect();
    (schema, frames)
}

fn cubes(path: &str) -> (Schema, Vec<Frame>) {
    let pos = FieldType::Struct { fields: vec![
        Member { name: "x".into(), ty: f(-16383.0, 16383.0, 1.0, false) }, Member { name: "y".into(), ty: f(-16383.0, 16383.0, 1.0, false) }, Member { name: "z".into(), ty: f(0.0, 8191.0, 1.0, false) } ] };
    let schema = Schema { kind: Kind::Realtime, inputs: vec![], actions: vec![], events: vec![], tables: vec![], components: vec![
        def("Place", pos, None),
        def("Turn", FieldType::Rotation { bits: 9 }, None),
        def("Interacting", FieldType::Bool, None),
    ]};
    let bytes = std::fs::read(path).unwrap();
    let frames = bytes.chunks_exact(901 * 32).skip(6).map(|frame| frame.chunks_exact(32).map(|s| {
        let g = |at: usize| i32::from_le_bytes(s[at * 4..at * 4 + 4].try_into().unwrap());
        Some(vec![(0, vec![(g(4) + 16383) as u32, (g(5) + 16383) as u32, g(6) as u32]), (1, vec![g(0) as u32, g(1) as u32, g(2) as u32, g(3) as u32]), (2, vec![g(7) as u32])])
    }).collect()).collect();
    (schema, frames)
}

fn run(name: &str, schema: &Schema, frames: &[Frame], hz: u32, k: u32, record: bool) -> Codec {
    let (mut enc, mut dec) = (Codec::new(schema, hz as u16), Codec::new(schema, hz as u16));
    if record { enc.learn(); }
    let (mut server, mut client) = (View::new(2 * k + 1), View::new(2 * k + 1));
    let mut rng = Rng(88172645463325252);
    let mut ids: Vec<Option<WireId>> = vec![None; frames[0].len()];
    let mut used = BTreeSet::new(); let mut late = std::collections::VecDeque::new();
    let (mut total, mut count, mut ns, mut dns) = (0usize, 0usize, 0u128, 0u128);
    let mut out = Vec::new();
    for (t, frame) in frames.iter().enumerate() {
        server.begin(t as u64 + 1);
        let mut freed = vec![];
        for (slot, e) in frame.iter().enumerate() {
            // a slot that dies and is reused in the next frame: seen as dead in between only if None; jump check skipped
            match (e, ids[slot]) {
                (None, Some(id)) => { server.leave(id); freed.push(id); ids[slot] = None; }
                (Some(c), had) => {
                    let id = had.unwrap_or_else(|| loop { let id = WireId((rng.next() % (if frame.len() > 500 { 4096 } else { 512 })) << 2); if id.0 != 0 && used.insert(id) { break id; } });
                    if had.is_none() { server.enter(id); ids[slot] = Some(id); }
                    for (comp, words) in c { server.set(id, *comp, Some(words)); }
                }
                _ => {}
            }
        }
        late.push_back(freed); if late.len() > 14 { for id in late.pop_front().unwrap() { used.remove(&id); } }
        let now = server.now();
        let base = now.saturating_sub(k); let older = if now > 2 * k { now - 2 * k } else { base };
        out.clear();
        let t0 = Instant::now();
        enc.encode(&mut server, Baselines { older, base }, &[], &mut out);
        ns += t0.elapsed().as_nanos();
        client.begin(t as u64 + 1);
        let t0 = Instant::now();
        dec.decode(&mut client, Baselines { older, base }, &out).unwrap_or_else(|_| panic!("decode {t}"));
        dns += t0.elapsed().as_nanos();
        assert!(server.shown().eq(client.shown()), "tick {t}");
        if t >= 2 * k as usize { total += out.len(); count += 1; }
    }
    let b = total as f64 / count as f64;
    println!("{name} ref {k}: {b:.1} B/frame, {:.1} kbit/s, enc {:.1} us dec {:.1} us", b * 8.0 * f64::from(hz) / 1000.0, ns as f64 / 1000.0 / frames.len() as f64, dns as f64 / 1000.0 / frames.len() as f64);
    enc
}

fn trained(c: &Codec, schema: &Schema) -> Schema {
    let mut t = Training::default(); t.add(c.counts());
    let mut s = schema.clone(); s.tables = t.tables(schema); println!("  tables {} B", s.tables.len()); s
}

fn main() {
    let (s, train) = arena("/tmp/tr/arena-train.bin");
    let (_, test) = arena("/tmp/tr/arena.bin");
    if std::env::args().nth(1).is_none() { for k in [1, 3] {
        run("arena default", &s, &test, 20, k, false);
        let c = run("  train", &s, &train, 20, k, true);
        run("arena trained", &trained(&c, &s), &test, 20, k, false);
    }
    }
    let (s, all) = cubes("/tmp/tr/cubes.bin");
    let (a, b) = all.split_at(all.len() / 2);
    for k in [1, 6] {
        run("cubes default", &s, b, 60, k, false);
        let c = run("  train", &s, a, 60, k, true);
        run("cubes trained", &trained(&c, &s), b, 60, k, false);
    }
}
