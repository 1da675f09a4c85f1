//! Maps as they are drawn, and what moves and looks on them.

use super::*;

const TILE: f32 = 10.0;

fn at(x: f32, y: f32) -> Vec2 {
    Vec2::new(x, y)
}

/// A map as it is drawn: `#` is a wall.
fn drawn(rows: &[&str]) -> Tiles {
    let mut tiles = Tiles::new(rows[0].len() as u16, rows.len() as u16, TILE);
    for (row, text) in rows.iter().enumerate() {
        for (column, _) in text.bytes().enumerate().filter(|(_, byte)| *byte == b'#') {
            tiles.build(column as u16, row as u16);
        }
    }
    tiles
}

fn room() -> Tiles {
    drawn(&[".....", "..#..", ".....", ".#.#.", "....."])
}

/// The same numbers in each run.
fn luck() -> Rng {
    Rng::new([7; 32])
}

#[test]
fn a_map_tells_its_walls_and_ends_in_walls() {
    let mut tiles = room();
    assert_eq!((tiles.columns(), tiles.rows(), tiles.size()), (5, 5, at(50.0, 50.0)));
    assert!(tiles.is_wall(2, 1) && !tiles.is_wall(1, 1) && !tiles.is_wall(1, 2));
    assert!([(-1, 0), (5, 0), (0, -1), (0, 5)].iter().all(|(x, y)| tiles.is_wall(*x, *y)));
    tiles.clear(2, 1);
    tiles.build(9, 9);
    assert!(!tiles.is_wall(2, 1) && tiles.is_wall(9, 9));
    assert!(Tiles::default().is_wall(0, 0));
}

#[test]
fn what_stands_free_touches_no_wall_and_is_inside() {
    let tiles = room();
    assert!(tiles.is_free(at(15.0, 15.0), 4.9) && !tiles.is_free(at(15.1, 15.0), 4.9));
    assert!(tiles.is_free(at(5.0, 5.0), 4.9) && !tiles.is_free(at(4.8, 5.0), 4.9));
    assert!(!tiles.is_free(at(25.0, 25.0), 20.0), "larger than a tile: walls within it count");
    assert!(!tiles.is_free(at(1e9, f32::NAN), 1e9));
}

#[test]
fn what_meets_a_wall_stops_before_it_and_slides_along() {
    let tiles = room();
    let stopped = tiles.slide(at(5.0, 15.0), at(30.0, 0.0), 3.0);
    assert!((16.9..17.0).contains(&stopped.x) && stopped.y == 15.0, "{stopped}");
    assert!(tiles.is_free(stopped, 3.0));
    let along = tiles.slide(stopped, at(5.0, 4.0), 3.0);
    assert_eq!(along, at(stopped.x, 19.0));
    assert_eq!(tiles.slide(stopped, at(-6.0, 0.0), 3.0), stopped - at(6.0, 0.0), "it is not stuck");
    let back = tiles.slide(at(45.0, 15.0), at(-30.0, 0.0), 3.0);
    assert!((33.0..33.1).contains(&back.x), "{back}");
    let edge = tiles.slide(at(5.0, 5.0), at(-1e6, 1e6), 3.0);
    assert!(tiles.is_free(edge, 3.0) && edge.x < 3.1 && edge.y > 46.9, "{edge}");
}

#[test]
fn however_far_it_moves_nothing_gets_into_a_wall_or_through_one() {
    let tiles = drawn(&["..#..", "..#..", "..#..", "..#..", "..#.."]);
    let mut rng = luck();
    let (mut place, radius) = (at(5.0, 5.0), 4.0);
    for _ in 0..10_000 {
        let far = 10.0f32.powf(rng.between(-3.0..5.0));
        place = tiles.slide(place, Vec2::from_angle(rng.between(0.0..7.0)) * far, radius);
        assert!(tiles.is_free(place, radius) && place.x < 20.0, "{place}");
    }
}

#[test]
fn what_begins_in_a_wall_gets_out() {
    let tiles = room();
    let inside = at(25.0, 15.0);
    assert_eq!(tiles.slide(inside, at(0.0, 20.0), 3.0), at(25.0, 35.0));
    assert_eq!(tiles.until_wall(inside, at(25.0, 45.0)), inside);
}

#[test]
fn a_straight_way_ends_at_the_wall_before_it() {
    let tiles = room();
    let ends = |from, to| tiles.until_wall(from, to);
    assert_eq!(ends(at(5.0, 15.0), at(45.0, 15.0)), at(20.0, 15.0));
    assert_eq!(ends(at(45.0, 15.0), at(5.0, 15.0)), at(30.0, 15.0));
    assert_eq!(ends(at(25.0, 45.0), at(25.0, 5.0)), at(25.0, 20.0));
    assert_eq!(ends(at(5.0, 25.0), at(45.0, 25.0)), at(45.0, 25.0));
    assert_eq!(ends(at(5.0, 25.0), at(500.0, 25.0)), at(50.0, 25.0), "at the edge of the map");
    assert_eq!(ends(at(20.0, 25.0), at(20.0, 25.0)), at(20.0, 25.0));
    assert!(
        tiles.sees(at(5.0, 45.0), at(45.0, 45.0)) && !tiles.sees(at(5.0, 35.0), at(45.0, 35.0))
    );
}

#[test]
fn a_straight_way_ends_where_small_steps_along_it_would() {
    let mut rng = luck();
    let tiles = Tiles::scattered(12, 12, TILE, &mut rng);
    for _ in 0..2_000 {
        let from = tiles.free_place(&mut rng, 0.0);
        let to = from + Vec2::from_angle(rng.between(0.0..7.0)) * rng.between(0.0..100.0);
        let end = tiles.until_wall(from, to);
        let far = |part: f32| from + (end - from) * part;
        assert!((0..990).all(|n| tiles.is_free(far(n as f32 / 1_000.0), 0.0)), "{from} {to} {end}");
        let beyond = end + (to - from).normalize_or_zero() * 0.01;
        assert!(end == to || !tiles.is_free(beyond, 0.01), "{from} {to} {end}");
    }
}

#[test]
fn a_place_is_free_if_there_is_any() {
    let mut rng = luck();
    for _ in 0..200 {
        assert!(room().is_free(room().free_place(&mut rng, 4.0), 4.0));
    }
    let mut tiles = Tiles::new(40, 40, TILE);
    (0..40).for_each(|row| (0..40).for_each(|column| tiles.build(column, row)));
    assert_eq!(tiles.free_place(&mut rng, 1.0), at(200.0, 200.0), "there is none");
    tiles.clear(39, 38);
    assert_eq!(tiles.free_place(&mut rng, 4.0), at(395.0, 385.0), "the only one");
}

#[test]
fn in_a_scattered_map_everything_can_be_reached() {
    let mut rng = luck();
    for _ in 0..50 {
        let tiles = Tiles::scattered(23, 18, TILE, &mut rng);
        let free = |(x, y): &(i32, i32)| !tiles.is_wall(*x, *y);
        let all = (0..23).flat_map(|x| (0..18).map(move |y| (x, y))).filter(free).count();
        let (mut reached, mut next) = (vec![(0, 0)], 0);
        while let Some(&(x, y)) = reached.get(next) {
            next += 1;
            let near = [(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)];
            let new = near.into_iter().filter(|tile| free(tile) && !reached.contains(tile));
            reached.extend(new.collect::<Vec<_>>());
        }
        assert_eq!(reached.len(), all);
        assert!((10..120).contains(&(23 * 18 - all)), "{all} of 414 are free");
    }
}

#[test]
#[should_panic(expected = "257 by 256 tiles are more than 65536")]
fn a_map_has_a_bound() {
    let _ = Tiles::new(257, 256, TILE);
}
