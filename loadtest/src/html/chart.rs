//! Plots as SVG: lines over time or over rooms, and bars. Sizes are those of the picture's own
//! coordinates, which the page scales to its width.

use std::fmt::Write;

use super::number::{escape, number};

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 54.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = 26.0;
/// Lines of the grid across.
const STEPS: f64 = 4.0;

/// A line of a chart; `None` leaves a gap.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, Option<f64>)>,
}

impl Series {
    pub(super) fn new(name: &str, points: impl Iterator<Item = (f64, Option<f64>)>) -> Self {
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        Self { name: name.into(), points: points.map(|(x, y)| (x, finite(y))).collect() }
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.points.iter().filter_map(|(_, y)| *y)
    }
}

/// Something to plot.
#[derive(Clone, Debug, Default)]
pub(super) struct Chart {
    pub(super) title: &'static str,
    /// Of the values.
    pub(super) unit: &'static str,
    /// A sentence below the title; empty: none.
    pub(super) about: String,
    pub(super) series: Vec<Series>,
    /// Instead of lines: bars, each with its label.
    pub(super) bars: Vec<(String, f64)>,
    /// A value that should not be passed, and its name.
    pub(super) limit: Option<(f64, String)>,
    /// Where something happened, and what.
    pub(super) marks: Vec<(f64, String)>,
    /// What comes before it is measured is shaded.
    pub(super) from_zero: bool,
    /// Whether there is a dot at each point.
    pub(super) dots: bool,
    /// What stands below the axis; empty: seconds.
    pub(super) axis: &'static str,
}

/// How values become heights.
struct Scale {
    low: f64,
    high: f64,
    log: bool,
    ticks: Vec<f64>,
}

impl Scale {
    /// From 0, or where the greatest are far above the rest by decades.
    fn of(values: &mut dyn Iterator<Item = f64>, limit: Option<f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let most = sorted.last().copied().unwrap_or(0.0);
        let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
        if middle > 0.0 && most > middle * 20.0 {
            let least = sorted.iter().copied().find(|v| *v > 0.0).unwrap_or(1.0).max(most / 1e5);
            let low = least.log10().floor();
            let high = most.log10().ceil().max(low + 1.0);
            let ticks = (low as i32..=high as i32).map(|exponent| 10_f64.powi(exponent)).collect();
            return Self { low, high, log: true, ticks };
        }
        // A limit far above everything would press it flat.
        let high = limit.filter(|limit| *limit <= most * 4.0).map_or(most, |l| l.max(most));
        let step = nice(high.max(1e-9) / STEPS);
        let steps = (high / step).ceil().max(1.0);
        let ticks = (0..=steps as u32).map(|n| f64::from(n) * step).collect();
        Self { low: 0.0, high: steps * step, log: false, ticks }
    }

    fn y(&self, value: f64) -> f64 {
        let value = if self.log { value.max(1e-12).log10() } else { value };
        let part = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
    }
}

/// The next larger of 1, 2, 2.5, 5 times a power of ten.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let of = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|n| n * power >= step * 0.999_999);
    of.unwrap_or(10.0) * power
}

impl Chart {
    pub(super) fn has_points(&self) -> bool {
        !self.bars.is_empty() || self.series.iter().any(|series| series.values().next().is_some())
    }

    /// Writes the figure.
    pub(super) fn draw(&self, out: &mut String) {
        let _ = write!(out, "<figure><figcaption>{}", escape(self.title));
        if !self.unit.is_empty() {
            let _ = write!(out, " <span class=\"unit\">{}</span>", escape(self.unit));
        }
        if self.series.len() > 1 {
            for (at, series) in self.series.iter().enumerate() {
                let (class, name) = (at % 4 + 1, escape(&series.name));
                let _ = write!(out, "<span class=\"key\"><i class=\"b{class}\"></i>{name}</span>");
            }
        }
        out.push_str("</figcaption>");
        if !self.about.is_empty() {
            let _ = write!(out, "<p>{}</p>", escape(&self.about));
        }
        let label = escape(&format!("{} {}", self.title, self.unit));
        let _ = writeln!(
            out,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">"
        );
        if self.bars.is_empty() {
            self.lines(out)
        } else {
            self.columns(out)
        }
        out.push_str("</svg></figure>\n");
    }

    fn lines(&self, out: &mut String) {
        let limit = self.limit.as_ref().map(|(limit, _)| *limit);
        let scale = Scale::of(&mut self.series.iter().flat_map(Series::values), limit);
        let xs = || self.series.iter().flat_map(|s| s.points.iter().map(|(x, _)| *x));
        let first = xs().fold(f64::INFINITY, f64::min);
        let last = xs().fold(f64::NEG_INFINITY, f64::max).max(first + 1e-9);
        let x = |at: f64| LEFT + (at - first) / (last - first) * (WIDTH - LEFT - RIGHT);
        grid(out, &scale);
        if self.from_zero && first < 0.0 && last > 0.0 {
            let (zero, height) = (x(0.0), HEIGHT - TOP - BOTTOM);
            let wide = zero - LEFT;
            let _ = writeln!(
                out,
                "<rect class=\"band\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{wide:.1}\" height=\"{height}\"/>"
            );
        }
        self.x_axis(out, first, last, &x);
        for (at, what) in self.marks.iter().filter(|(at, _)| (first..=last).contains(at)) {
            let (x, low, what) = (x(*at), HEIGHT - BOTTOM, escape(what));
            let _ = writeln!(
                out,
                "<line class=\"mark\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{low}\"/>\
                 <text x=\"{x:.1}\" y=\"12\" text-anchor=\"middle\">{what}</text>"
            );
        }
        if let Some((limit, name)) = &self.limit
            && (scale.log || *limit <= scale.high)
        {
            let (y, right, text) = (scale.y(*limit), WIDTH - RIGHT, LEFT + 5.0);
            let name = escape(name);
            let above = if y < TOP + 16.0 { y + 15.0 } else { y - 5.0 };
            let _ = writeln!(
                out,
                "<line class=\"limit\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
                 <text x=\"{text}\" y=\"{above:.1}\">{name}</text>"
            );
        }
        // The first is drawn last, above the others.
        for (at, series) in self.series.iter().enumerate().rev() {
            path(out, series, at % 4 + 1, &x, &scale);
            if self.dots {
                dots(out, series, at % 4 + 1, &x, &scale);
            }
        }
    }

    fn x_axis(&self, out: &mut String, first: f64, last: f64, x: &dyn Fn(f64) -> f64) {
        let minutes = self.axis.is_empty() && last - first > 300.0;
        let unit = if minutes { 60.0 } else { 1.0 };
        let step = nice((last - first) / unit / 5.0) * unit;
        let label = match (self.axis, minutes) {
            ("", true) => "min",
            ("", false) => "s",
            (axis, _) => axis,
        };
        let mut at = (first / step).ceil() * step;
        let y = HEIGHT - 8.0;
        while at <= last + step * 1e-6 {
            let (place, text) = (x(at), number(at / unit));
            if place < WIDTH - 46.0 {
                let _ = writeln!(
                    out,
                    "<text x=\"{place:.1}\" y=\"{y}\" text-anchor=\"middle\">{text}</text>"
                );
            }
            at += step;
        }
        let right = WIDTH - RIGHT;
        let _ = writeln!(
            out,
            "<text x=\"{right}\" y=\"{y}\" text-anchor=\"end\">{}</text>",
            escape(label)
        );
    }

    fn columns(&self, out: &mut String) {
        let scale = Scale::of(&mut self.bars.iter().map(|(_, value)| *value), None);
        grid(out, &scale);
        let wide = (WIDTH - LEFT - RIGHT) / self.bars.len() as f64;
        let every = (self.bars.len().div_ceil(5)).max(1);
        for (at, (label, value)) in self.bars.iter().enumerate() {
            let (x, top) = (LEFT + wide * at as f64, scale.y(*value));
            // Few are to be seen as well, where they are the slow ones.
            let top = if *value > 0.0 { top.min(HEIGHT - BOTTOM - 1.5) } else { top };
            let (tall, width) = (HEIGHT - BOTTOM - top, (wide - 1.5).max(1.0));
            let (label, shown) = (escape(label), number(*value));
            let _ = writeln!(
                out,
                "<rect class=\"f1\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" \
                 height=\"{tall:.1}\" rx=\"1\"><title>up to {label}: {shown}</title></rect>"
            );
            if at % every == every / 2 {
                let (middle, y) = (x + wide / 2.0, HEIGHT - 8.0);
                let _ = writeln!(
                    out,
                    "<text x=\"{middle:.1}\" y=\"{y}\" text-anchor=\"middle\">{label}</text>"
                );
            }
        }
    }
}

fn grid(out: &mut String, scale: &Scale) {
    let (right, text) = (WIDTH - RIGHT, LEFT - 7.0);
    for tick in &scale.ticks {
        let y = scale.y(*tick);
        let (below, shown) = (y + 4.0, number(*tick));
        let class = if *tick == 0.0 { "axis" } else { "grid" };
        let _ = writeln!(
            out,
            "<line class=\"{class}\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
             <text x=\"{text}\" y=\"{below:.1}\" text-anchor=\"end\">{shown}</text>"
        );
    }
}

fn path(out: &mut String, series: &Series, class: usize, x: &dyn Fn(f64) -> f64, scale: &Scale) {
    let mut d = String::new();
    let mut pen = false;
    for (at, value) in &series.points {
        let Some(value) = value else {
            pen = false;
            continue;
        };
        let _ = write!(d, "{}{:.1} {:.1}", if pen { "L" } else { "M" }, x(*at), scale.y(*value));
        pen = true;
    }
    // A point between two gaps would have no length, and so nothing to see.
    let d = d.replace('M', " M").replace('L', " L");
    let name = escape(&series.name);
    let _ = writeln!(
        out,
        "<path class=\"path s{class}\" d=\"{}\"><title>{name}</title></path>",
        d.trim_start()
    );
}

fn dots(out: &mut String, series: &Series, class: usize, x: &dyn Fn(f64) -> f64, scale: &Scale) {
    for (at, value) in &series.points {
        let Some(value) = value else { continue };
        let (cx, cy, at, shown) = (x(*at), scale.y(*value), number(*at), number(*value));
        let _ = writeln!(
            out,
            "<circle class=\"f{class}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3.2\">\
             <title>{at}: {shown}</title></circle>"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[Option<f64>]) -> Chart {
        let points = values.iter().enumerate().map(|(at, value)| (at as f64 - 1.0, *value));
        Chart {
            title: "T",
            unit: "ms",
            series: vec![Series::new("p50", points)],
            ..Chart::default()
        }
    }

    fn drawn(chart: &Chart) -> String {
        let mut out = String::new();
        chart.draw(&mut out);
        out
    }

    #[test]
    fn a_line_goes_from_left_to_right_and_has_gaps() {
        let chart = chart(&[Some(0.0), Some(10.0), None, Some(5.0), Some(f64::NAN)]);
        let out = drawn(&chart);
        let right = LEFT + (WIDTH - LEFT - RIGHT) * 0.75;
        let middle = TOP + (HEIGHT - TOP - BOTTOM) / 2.0;
        let path = format!(
            "d=\"M{LEFT:.1} {:.1} L{:.1} {TOP:.1} M{right:.1} {middle:.1}\"",
            HEIGHT - BOTTOM,
            LEFT + (WIDTH - LEFT - RIGHT) / 4.0
        );
        assert!(out.contains(&path), "{path} in {out}");
        assert!(out.contains(">7.5</text>") && out.contains(">10</text>"), "{out}");
    }

    #[test]
    fn far_greater_values_make_the_scale_go_by_decades() {
        let mut values = vec![Some(10.0); 50];
        values.push(Some(3_000.0));
        let out = drawn(&chart(&values));
        for tick in [">10<", ">100<", ">1,000<", ">10,000<"] {
            assert!(out.contains(tick), "{tick} in {out}");
        }
    }

    #[test]
    fn limits_and_marks_are_named() {
        let limit = Some((12.0, "budget".to_owned()));
        let marks = vec![(1.0, "links cut".to_owned()), (99.0, "after the end".to_owned())];
        let chart = Chart { limit, marks, ..chart(&[Some(1.0), Some(9.0), Some(4.0)]) };
        let out = drawn(&chart);
        assert!(out.contains("budget") && out.contains("links cut"), "{out}");
        assert!(!out.contains("after the end"), "{out}");
    }

    #[test]
    fn bars_have_labels_and_few_are_seen() {
        let bars = vec![("1 ms".to_owned(), 1_000.0), ("2 ms".to_owned(), 1.0)];
        let out = drawn(&Chart { bars, ..Chart::default() });
        assert!(out.contains("up to 2 ms: 1<") && out.contains("height=\"1.5\""), "{out}");
    }

    #[test]
    fn nothing_is_no_chart() {
        assert!(!chart(&[None, None]).has_points() && chart(&[None, Some(0.0)]).has_points());
    }

    #[test]
    fn steps_are_nice() {
        let nice: Vec<f64> = [0.9, 1.1, 2.3, 3.0, 70.0].map(nice).to_vec();
        assert_eq!(nice, [1.0, 2.0, 2.5, 5.0, 100.0]);
    }
}
