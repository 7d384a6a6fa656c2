//! The text that a scraper reads: the text format of Prometheus, version 0.0.4, or `OpenMetrics` 1.0.

use std::fmt::Write as _;

use super::families::{MetricFamily, MetricKind};
use super::histogram::Histogram;

/// In which of its two forms the text is written. They differ in how a counter is named, and in how the text ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// Every scraper reads it.
    Prometheus,
    /// For one that asks for it.
    OpenMetrics,
}

/// The value of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SampleValue {
    /// A whole number.
    Whole(u64),
    /// Any other.
    Real(f64),
}

/// A text under way.
#[derive(Debug)]
pub struct Exposition {
    text: String,
    format: TextFormat,
}

/// The samples of a family, one after another.
#[derive(Debug)]
pub struct Samples<'a> {
    out: &'a mut Exposition,
    family: &'static MetricFamily,
}

impl TextFormat {
    /// The one that a request wants by its field Accept. Whoever takes anything gets what everybody reads.
    #[must_use]
    pub fn wanted(accept: &str) -> Self {
        let is_wanted = accept.split(',').any(|range| {
            let kind = range.split(';').next().unwrap_or_default().trim();
            let refused = range.split(';').any(|part| part.trim().replace(' ', "") == "q=0");
            kind.eq_ignore_ascii_case("application/openmetrics-text") && !refused
        });
        if is_wanted { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl From<u64> for SampleValue {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<bool> for SampleValue {
    fn from(value: bool) -> Self {
        Self::Whole(u64::from(value))
    }
}

impl From<f64> for SampleValue {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl Exposition {
    /// Without a family yet.
    #[must_use]
    pub fn new(format: TextFormat) -> Self {
        Self { text: String::with_capacity(16 * 1024), format }
    }

    /// Begins a family; each once.
    pub fn begin(&mut self, family: &'static MetricFamily) -> Samples<'_> {
        let MetricFamily { name, kind, help, .. } = family;
        let name = match (self.format, kind) {
            (TextFormat::OpenMetrics, MetricKind::Counter) => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        self.put(format_args!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.name()));
        Samples { out: self, family }
    }

    /// The whole text.
    #[must_use]
    pub fn end(mut self) -> String {
        if self.format == TextFormat::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).expect("a String takes everything");
    }
}

impl Samples<'_> {
    /// A sample, with a value for each of the family's labels.
    pub fn put(&mut self, labels: &[&str], value: impl Into<SampleValue>) {
        self.line("", labels, None, value.into());
    }

    /// The samples of a histogram.
    pub fn histogram(&mut self, labels: &[&str], histogram: &Histogram) {
        let ranges = histogram.cumulative();
        let all = ranges.last().map_or(0, |(_, count)| *count);
        for (end, count) in ranges {
            let end = end.map_or_else(|| "+Inf".to_owned(), |end| format!("{end:?}"));
            self.line("_bucket", labels, Some(&end), count.into());
        }
        self.line("_sum", labels, None, histogram.sum().into());
        self.line("_count", labels, None, all.into());
    }

    fn line(&mut self, suffix: &str, values: &[&str], le: Option<&str>, value: SampleValue) {
        let MetricFamily { name, labels, .. } = self.family;
        debug_assert_eq!(labels.len(), values.len(), "{name}");
        self.out.put(format_args!("{name}{suffix}"));
        let mut open = '{';
        for (label, value) in
            labels.iter().copied().zip(values.iter().copied()).chain(le.map(|le| ("le", le)))
        {
            self.out.put(format_args!("{open}{label}=\""));
            push_escaped(&mut self.out.text, value);
            self.out.text.push('"');
            open = ',';
        }
        if open == ',' {
            self.out.text.push('}');
        }
        match value {
            SampleValue::Whole(value) => self.out.put(format_args!(" {value}\n")),
            SampleValue::Real(value) => self.out.put(format_args!(" {value}\n")),
        }
    }
}

/// A value as the format has it between quotes. Control characters, which it would let through, become spaces.
fn push_escaped(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c if c.is_control() => text.push(' '),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SEEN: MetricFamily = MetricFamily {
        name: "mailsluice_seen_total",
        kind: MetricKind::Counter,
        help: "What was seen.",
        labels: &["upstream"],
    };
    static TOOK: MetricFamily = MetricFamily {
        name: "mailsluice_took_seconds",
        kind: MetricKind::Histogram,
        help: "How long.",
        labels: &[],
    };

    fn text(format: TextFormat) -> String {
        let mut text = Exposition::new(format);
        let mut seen = text.begin(&SEEN);
        seen.put(&["a\"b\\c\nd\te"], 3);
        let histogram = Histogram::new(&[0.5, 1.0]);
        histogram.observe(0.75, 2);
        text.begin(&TOOK).histogram(&[], &histogram);
        text.end()
    }

    #[test]
    fn writes_both_forms() {
        let rest = "# HELP mailsluice_took_seconds How long.\n# TYPE mailsluice_took_seconds histogram\n\
            mailsluice_took_seconds_bucket{le=\"0.5\"} 0\nmailsluice_took_seconds_bucket{le=\"1.0\"} 2\n\
            mailsluice_took_seconds_bucket{le=\"+Inf\"} 2\nmailsluice_took_seconds_sum 1.5\n\
            mailsluice_took_seconds_count 2\n";
        let seen = "mailsluice_seen_total{upstream=\"a\\\"b\\\\c\\nd e\"} 3\n";
        let prometheus = format!(
            "# HELP mailsluice_seen_total What was seen.\n# TYPE mailsluice_seen_total counter\n{seen}{rest}"
        );
        assert_eq!(text(TextFormat::Prometheus), prometheus);
        let open = format!(
            "# HELP mailsluice_seen What was seen.\n# TYPE mailsluice_seen counter\n{seen}{rest}# EOF\n"
        );
        assert_eq!(text(TextFormat::OpenMetrics), open);
    }

    #[test]
    fn gives_what_is_asked_for() {
        for (accept, want) in [
            ("", TextFormat::Prometheus),
            ("*/*", TextFormat::Prometheus),
            ("text/plain", TextFormat::Prometheus),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
                TextFormat::OpenMetrics,
            ),
            ("text/plain, Application/OpenMetrics-Text; version=1.0.0", TextFormat::OpenMetrics),
            ("application/openmetrics-text;q=0, */*", TextFormat::Prometheus),
            ("application/openmetrics-textual", TextFormat::Prometheus),
        ] {
            assert_eq!(TextFormat::wanted(accept), want, "{accept}");
        }
    }
}
