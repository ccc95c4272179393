//! A link as a QR code, drawn as SVG.

use std::fmt::Write;

use qrcode::{Color, EcLevel, QrCode};

/// Light modules around the code, as the standard asks.
const MARGIN: usize = 4;

/// The code of a text; `None` for what no code can hold.
#[must_use]
pub fn svg(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let (width, colors) = (code.width(), code.to_colors());
    let side = width + 2 * MARGIN;
    let mut path = String::new();
    for (y, row) in colors.chunks(width).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|a, b| a == b) {
            if run.first() == Some(&Color::Dark) {
                write!(path, "M{} {}h{}v1h-{}z", x + MARGIN, y + MARGIN, run.len(), run.len()).ok()?;
            }
            x += run.len();
        }
    }
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path d=\"{path}\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::svg;

    #[test]
    fn a_link_becomes_a_small_picture() {
        let picture = svg("https://shop.example/s/Z2hvc3RfaW5fdGhlX3NoZWxsX2FiY2Rl").unwrap();
        assert!(picture.starts_with("<svg ") && picture.len() < 8_000, "{}", picture.len());
        // The corner of the first finder pattern: seven dark modules after the margin.
        assert!(picture.contains("M4 4h7v1h-7z"), "{picture}");
        assert_eq!(svg(&"x".repeat(5_000)), None);
    }
}
