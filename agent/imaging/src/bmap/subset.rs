use super::map::Bmap;

impl Bmap {
    /// The map with only some of its ranges, by their places in it, ascending.
    pub(crate) fn only(&self, ranges: &[usize]) -> Self {
        let kept = ranges.iter().filter_map(|&place| self.blocks().get(place)).copied().collect();
        Self::new(self.version(), self.image_size(), self.block_size(), kept)
            .expect("a part of what was checked is right as well")
    }
}
