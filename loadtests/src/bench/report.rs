//! What was measured: a table, a picture, one JSON object.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::Outcome;

/// Figures by name, one value a round.
#[derive(Debug, Default)]
pub struct Figures {
    values: BTreeMap<&'static str, Vec<f64>>,
}

/// Ratio, what is divided, by what, the aim if there is one.
const RATIOS: [(&str, &str, &str, Option<f64>); 13] = [
    ("join_over_noop", "join_rps", "noop_rps", Some(0.5)),
    ("join_beside_programme_over_join", "join_rps_beside_programme", "join_rps", None),
    ("cut_over_noop", "cut_rps", "noop_rps", None),
    ("bind_over_noop", "bind_rps", "noop_rps", None),
    ("join_over_baseline", "join_rps", "baseline_join_rps", Some(4.0)),
    ("page_over_noop", "page_rps", "noop_rps", Some(0.8)),
    ("page_over_same_bytes", "page_rps", "same_bytes_as_page_rps", None),
    ("sold_out_over_noop", "sold_out_rps", "noop_rps", Some(0.8)),
    ("sold_out_over_same_bytes", "sold_out_rps", "same_bytes_as_sold_out_rps", None),
    ("sold_out_over_only_checks", "sold_out_rps", "only_checks_as_sold_out_rps", None),
    ("raw_batched_over_single", "raw_batched_joins_per_s", "raw_single_joins_per_s", Some(6.0)),
    ("join_beside_streams_over_join", "join_rps_beside_2000_streams", "join_rps", Some(0.9)),
    ("sustained_over_noop", "sustained_joins_per_s", "noop_rps", None),
];

impl Figures {
    /// One more value.
    pub fn add(&mut self, name: &'static str, value: f64) {
        self.values.entry(name).or_default().push(value);
    }

    fn median(&self, name: &str) -> Option<f64> {
        self.values.get(name).and_then(|values| median(values))
    }

    /// The median of the rounds' ratios: what a round has in common with itself, such as a busy neighbour, cancels out.
    fn ratio(&self, above: &str, below: &str) -> Option<f64> {
        let (above, below) = (self.values.get(above)?, self.values.get(below)?);
        median(&above.iter().zip(below).map(|(above, below)| above / below).collect::<Vec<_>>())
    }

    /// Prints the table and the JSON line, writes the picture.
    pub fn print(&self, picture: &Path) -> Outcome<()> {
        let mut json = Map::new();
        println!("{:36} {:>12} {:>12} {:>12}", "", "median", "least", "most");
        for (name, values) in &self.values {
            let middle = self.median(name).unwrap_or_default();
            let (least, most) = (values.iter().copied().fold(f64::MAX, f64::min), values.iter().copied().fold(0.0, f64::max));
            let digits = usize::from(middle < 10.0) * 2;
            println!("{name:36} {middle:>12.digits$} {least:>12.digits$} {most:>12.digits$}");
            json.insert((*name).to_owned(), Value::from(rounded(middle)));
        }
        for (name, above, below, aim) in RATIOS {
            if let Some(ratio) = self.ratio(above, below) {
                let aim = aim.map(|aim| format!(" (aim: at least {aim})")).unwrap_or_default();
                println!("{name:36} {ratio:>12.2}{aim}");
                json.insert(name.to_owned(), Value::from(rounded(ratio)));
            }
        }
        std::fs::write(picture, self.svg())?;
        println!("picture: {}", picture.display());
        println!("{}", Value::Object(json));
        Ok(())
    }

    /// Bars of everything that is a rate, longest first, each with its figure.
    fn svg(&self) -> String {
        let mut bars: Vec<(&str, f64)> =
            self.values.keys().filter(|name| is_rate(name)).filter_map(|name| Some((*name, self.median(name)?))).collect();
        bars.sort_by(|one, other| other.1.total_cmp(&one.1));
        let most = bars.first().map_or(1.0, |bar| bar.1);
        let height = 56 + bars.len() * 30;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 900 {height}\" font-family=\"system-ui, sans-serif\" font-size=\"14\">\
             <rect width=\"900\" height=\"{height}\" fill=\"#fff\"/>\
             <text x=\"16\" y=\"30\" font-size=\"17\" font-weight=\"600\" fill=\"#222\">A second, median of all rounds (make bench)</text>\n"
        );
        for (place, (name, value)) in bars.iter().enumerate() {
            let (y, width) = (48 + place * 30, (value / most * 400.0).max(1.0));
            let colour = if name.contains("noop") || name.contains("same_bytes") || name.contains("only_checks") {
                "#9aa0a6"
            } else if name.contains("baseline") || name.contains("single") {
                "#f2a33a"
            } else {
                "#d9372c"
            };
            svg.push_str(&format!(
                "<text x=\"16\" y=\"{text}\" fill=\"#444\">{name}</text>\
                 <rect x=\"320\" y=\"{y}\" width=\"{width:.0}\" height=\"20\" rx=\"3\" fill=\"{colour}\"/>\
                 <text x=\"{end:.0}\" y=\"{text}\" fill=\"#222\">{value:.0}</text>\n",
                text = y + 15,
                end = 328.0 + width,
            ));
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn is_rate(name: &str) -> bool {
    name.contains("_rps") || name.ends_with("_per_s") || name.contains("_per_s_")
}

/// Whole, or to the thousandth where that says something.
fn rounded(value: f64) -> f64 {
    if value < 100.0 { (value * 1000.0).round() / 1000.0 } else { value.round() }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len().checked_sub(1)? / 2;
    match sorted.len() % 2 {
        1 => sorted.get(middle).copied(),
        _ => Some((sorted.get(middle)? + sorted.get(middle + 1)?) / 2.0),
    }
}
