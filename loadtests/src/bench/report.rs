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

/// Ratio, what is divided, by what, the aim.
const RATIOS: [(&str, &str, &str, f64); 5] = [
    ("join_over_noop", "join_rps", "noop_rps", 0.5),
    ("join_over_baseline", "join_rps", "baseline_join_rps", 4.0),
    ("page_over_noop", "page_rps", "noop_rps", 0.8),
    ("sold_out_over_noop", "sold_out_rps", "noop_rps", 0.8),
    ("raw_batched_over_single", "raw_batched_joins_per_s", "raw_single_joins_per_s", 6.0),
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
    pub fn print(&self, _picture: &Path) -> Outcome<()> {
        let mut json = Map::new();
        println!("{:28} {:>12} {:>12} {:>12}", "", "median", "least", "most");
        for (name, values) in &self.values {
            let middle = self.median(name).unwrap_or_default();
            let (least, most) = (values.iter().copied().fold(f64::MAX, f64::min), values.iter().copied().fold(0.0, f64::max));
            println!("{name:28} {middle:>12.0} {least:>12.0} {most:>12.0}");
            json.insert((*name).to_owned(), Value::from(middle.round()));
        }
        for (name, above, below, aim) in RATIOS {
            if let Some(ratio) = self.ratio(above, below) {
                println!("{name:28} {ratio:>12.2} (aim {aim})");
                json.insert(name.to_owned(), Value::from((ratio * 1000.0).round() / 1000.0));
            }
        }
        println!("{}", Value::Object(json));
        Ok(())
    }
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
