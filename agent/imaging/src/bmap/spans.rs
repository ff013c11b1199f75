use std::ops::Range;

/// Byte ranges of which touching ones are one.
#[derive(Default)]
pub(super) struct Spans(Vec<Range<u64>>);

impl Spans {
    /// Adds a span; in ascending order, spans that touch are kept as one.
    pub(super) fn add(&mut self, span: Range<u64>) {
        match self.0.last_mut() {
            Some(last) if last.start <= span.start && span.start <= last.end => {
                last.end = last.end.max(span.end)
            }
            _ => self.0.push(span),
        }
    }

    /// All of several, ascending and without overlap.
    pub(super) fn join(all: impl IntoIterator<Item = Self>) -> Vec<Range<u64>> {
        let mut spans: Vec<_> = all.into_iter().flat_map(|spans| spans.0).collect();
        spans.sort_unstable_by_key(|span| span.start);
        let mut joined = Self::default();
        spans.into_iter().for_each(|span| joined.add(span));
        joined.0
    }
}
