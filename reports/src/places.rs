//! Places: which stacks of a table differ by more than chance and noise.

use std::collections::BTreeMap;

use crate::{
    stats::{self, LogRatio},
    summary::Cell,
    table::{Headline, is_ranked},
};

/// With fewer trials than this, ranges are no ground for places: those of two stacks that do not differ are apart in one of
/// three cases with two trials, and always with one.
pub const PLACE_TRIALS_MIN: usize = 3;

/// A paired comparison of two cells.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Paired {
    /// Of the earlier cell to the later one.
    ratio: LogRatio,
    /// Corrected for all the others of the table.
    p_value: f64,
}

/// A cell's figure beside that of the best of its table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimesBest {
    /// The geometric mean of the ratios within blocks.
    pub ratio: f64,
    /// Both ends of its interval. All intervals of a table hold the true ratios at once with [`stats::CONFIDENCE`],
    /// whichever of its cells is the best: the figures that they are made from choose it.
    pub interval: (f64, f64),
}

/// The comparisons of one table: every ranked cell with every other.
///
/// All pairs are asked, and corrected for, because which of them decide on a place is known only after the figures are.
#[derive(Debug)]
pub struct Comparisons<'c> {
    cells: &'c [&'c Cell],
    headline: Headline,
    /// Smallest |log-ratio| that counts.
    floor: f64,
    /// By the positions of the earlier and the later cell; missing where the two have too few blocks in common.
    paired: BTreeMap<(usize, usize), Paired>,
}

impl<'c> Comparisons<'c> {
    /// Compares the cells of one table. `floor` is the run's noise floor, if it has one.
    pub fn of(cells: &'c [&'c Cell], headline: Headline, floor: Option<f64>) -> Self {
        let ranked: Vec<usize> = (0..cells.len()).filter(|index| is_ranked(cells[*index], headline)).collect();
        let pairs = ranked.iter().enumerate().flat_map(|(nth, a)| ranked[nth + 1..].iter().map(|b| (*a, *b)));
        let ratios: Vec<((usize, usize), LogRatio)> = pairs
            .filter_map(|(a, b)| {
                let ratio = LogRatio::paired(headline.by_block(cells[a]), headline.by_block(cells[b]))?;
                Some(((a, b), ratio))
            })
            .collect();
        let p_values: Vec<f64> = ratios.iter().map(|(_, ratio)| ratio.p_value()).collect();
        let corrected = stats::holm(&p_values);
        let paired =
            ratios.into_iter().zip(corrected).map(|((pair, ratio), p_value)| (pair, Paired { ratio, p_value }));
        Self { cells, headline, floor: floor.unwrap_or_default(), paired: paired.collect() }
    }

    /// The place of each cell: one more than the cells that are better than it beyond chance and noise. So every
    /// difference that a place tells of was tested, and a cell of wide spread may have a better place than one above it.
    /// A cell of fewer trials than [`PLACE_TRIALS_MIN`] has none: it would claim more than was seen.
    pub fn places(&self) -> Vec<Option<usize>> {
        let has_place = |index: &usize| {
            let cell = self.cells[*index];
            let trials = self.headline.figure(cell).map_or(0, |spread| spread.trials);
            is_ranked(cell, self.headline) && trials >= PLACE_TRIALS_MIN
        };
        let placed: Vec<usize> = (0..self.cells.len()).filter(has_place).collect();
        let better = |index| placed.iter().filter(|other| self.is_better(**other, index)).count();
        (0..self.cells.len()).map(|index| placed.contains(&index).then(|| 1 + better(index))).collect()
    }

    /// Whether the one cell is better than the other beyond chance and noise. Where the two have enough blocks in common
    /// the paired comparison says so; otherwise their ranges have to be apart.
    pub fn is_better(&self, one: usize, other: usize) -> bool {
        self.is_better_by_pairs(one, other).unwrap_or_else(|| self.is_better_by_ranges(one, other))
    }

    /// Whether the one cell is better than the other by their paired comparison; `None` where they have too few blocks
    /// in common, or one of them is not ranked.
    pub fn is_better_by_pairs(&self, one: usize, other: usize) -> Option<bool> {
        let paired = self.paired.get(&(one.min(other), one.max(other)))?;
        let one_to_other = if one < other { paired.ratio.mean } else { -paired.ratio.mean };
        Some(paired.p_value < stats::SIGNIFICANCE && self.gain(one_to_other) > self.floor)
    }

    /// The first of the ranked cells.
    pub fn best(&self) -> Option<usize> {
        self.cells.iter().position(|cell| is_ranked(cell, self.headline))
    }

    /// A ranked cell's ratio to the first of them; `None` where the two have too few blocks in common, and for the first
    /// itself.
    pub fn times_best(&self, index: usize) -> Option<TimesBest> {
        let best = self.best()?;
        // The best comes first of all, so each pair of the two is of it to the other.
        let best_to_cell = self.paired.get(&(best, index))?.ratio;
        let (low, high) = best_to_cell.simultaneous_interval(self.paired.len());
        Some(TimesBest { ratio: (-best_to_cell.mean).exp(), interval: ((-high).exp(), (-low).exp()) })
    }

    fn is_better_by_ranges(&self, one: usize, other: usize) -> bool {
        let figure = |index: usize| self.headline.figure(self.cells[index]);
        let (Some(one), Some(other)) = (figure(one), figure(other)) else { return false };
        // A figure of 0 is infinitely far from any other.
        !one.overlaps(&other) && self.gain((one.median / other.median).ln()) > self.floor
    }

    /// By how much a log-ratio is to the good.
    fn gain(&self, log_ratio: f64) -> f64 {
        if self.headline.prefers_less() { -log_ratio } else { log_ratio }
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};
    use rand_distr::{Distribution as _, StandardNormal};

    use super::*;
    use crate::{
        row::{Row, Verdict},
        sample,
    };

    /// A cell with these costs by block.
    fn cell(stack: &str, costs: &[f64]) -> Cell {
        let row = |(trial, us): (u32, &f64)| {
            let mut row = Row { trial, ..sample::row(stack) };
            row.server.cpu_us_per_request = *us;
            row
        };
        let rows: Vec<Row> = (1..).zip(costs).map(row).collect();
        Cell::of(&rows.iter().collect::<Vec<_>>(), &Default::default()).unwrap()
    }

    fn places(cells: &[Cell], floor: Option<f64>) -> Vec<Option<usize>> {
        let cells: Vec<&Cell> = cells.iter().collect();
        Comparisons::of(&cells, Headline::CpuPerRequest, floor).places()
    }

    /// Eight blocks of a machine that is in another mood in each.
    const MOODS: [f64; 8] = [10.0, 14.0, 9.0, 13.0, 11.0, 15.0, 12.0, 10.5];

    /// A little noise of a stack's own, another for each `seed`.
    fn with_noise(factor: f64, seed: usize) -> Vec<f64> {
        let noise = |block: usize| 1.0 + 0.001 * ((block * 7 + seed * 3) % 5) as f64;
        MOODS.iter().enumerate().map(|(block, mood)| mood * factor * noise(block)).collect()
    }

    #[test]
    fn pairs_tell_stacks_apart_whose_ranges_overlap() {
        let cells = [cell("a", &with_noise(1.0, 1)), cell("b", &with_noise(1.05, 2))];
        assert!(cells[0].server_us.unwrap().overlaps(&cells[1].server_us.unwrap()));
        assert_eq!(places(&cells, None), [Some(1), Some(2)]);
    }

    #[test]
    fn a_difference_that_changes_its_sign_from_block_to_block_is_none() {
        let turned: Vec<f64> =
            with_noise(1.0, 1).iter().zip([1.05, 0.95].iter().cycle()).map(|(us, sway)| us * sway * 1.001).collect();
        assert_eq!(places(&[cell("a", &with_noise(1.0, 1)), cell("b", &turned)], None), [Some(1), Some(1)]);
    }

    #[test]
    fn a_difference_within_the_noise_floor_separates_no_places() {
        let of_eight = [cell("a", &with_noise(1.0, 1)), cell("b", &with_noise(1.05, 2))];
        assert_eq!(places(&of_eight, Some(0.06)), [Some(1), Some(1)]);
        assert_eq!(places(&of_eight, Some(0.04)), [Some(1), Some(2)]);
        let of_three = [cell("a", &[10.0, 10.1, 10.2]), cell("b", &[10.5, 10.6, 10.7])];
        assert_eq!(places(&of_three, None), [Some(1), Some(2)]);
        assert_eq!(places(&of_three, Some(0.06)), [Some(1), Some(1)]);
        assert_eq!(places(&of_three, Some(0.04)), [Some(1), Some(2)]);
    }

    #[test]
    fn with_five_blocks_the_ranges_decide() {
        let first_five = |cell_of: Vec<f64>| cell_of[..5].to_vec();
        let cells = [cell("a", &first_five(with_noise(1.0, 1))), cell("b", &first_five(with_noise(1.05, 2)))];
        assert_eq!(places(&cells, None), [Some(1), Some(1)]);
    }

    #[test]
    fn stacks_that_are_level_share_a_place_and_the_next_place_counts_them_all() {
        let cells = [
            cell("a", &with_noise(1.0, 1)),
            cell("b", &with_noise(1.0005, 2)),
            cell("c", &with_noise(1.1, 3)),
            cell("d", &with_noise(1.1, 4)),
        ];
        assert_eq!(places(&cells, Some(0.01)), [Some(1), Some(1), Some(3), Some(3)]);
    }

    #[test]
    fn a_ratio_to_the_best_is_paired_and_its_interval_shuts_one_out_only_where_places_differ() {
        let cells = [cell("a", &with_noise(1.0, 1)), cell("b", &with_noise(1.0005, 2)), cell("c", &with_noise(1.1, 3))];
        let cells: Vec<&Cell> = cells.iter().collect();
        let comparisons = Comparisons::of(&cells, Headline::CpuPerRequest, None);
        assert_eq!(comparisons.times_best(0), None);
        let [level, worse] = [1, 2].map(|index| comparisons.times_best(index).unwrap());
        let holds_one = |of: TimesBest| of.interval.0 <= 1.0 && 1.0 <= of.interval.1;
        assert!(holds_one(level) && !comparisons.is_better(0, 1), "{level:?}");
        assert!(!holds_one(worse) && comparisons.is_better(0, 2), "{worse:?}");
        assert!((worse.ratio - 1.1).abs() < 0.005 && worse.interval.0 < worse.ratio, "{worse:?}");
    }

    #[test]
    fn five_blocks_give_no_ratio_to_the_best() {
        let cells = [cell("a", &[1.0; 5]), cell("b", &[2.0; 5])];
        let cells: Vec<&Cell> = cells.iter().collect();
        assert_eq!(Comparisons::of(&cells, Headline::CpuPerRequest, None).times_best(1), None);
    }

    #[test]
    fn a_wide_stack_that_is_level_with_both_is_behind_neither() {
        let swayed = |factor: f64| {
            let sway = [1.2, 0.85, 1.15, 0.9, 1.1, 0.95, 1.25, 0.8];
            MOODS.iter().zip(sway).map(|(mood, sway)| mood * factor * sway).collect::<Vec<f64>>()
        };
        let field = [cell("a", &with_noise(1.0, 1)), cell("x", &with_noise(1.05, 2)), cell("wide", &swayed(1.06))];
        assert!(field.is_sorted_by_key(|cell| cell.server_us.unwrap().median));
        assert_eq!(places(&field, None), [Some(1), Some(2), Some(1)]);
    }

    #[test]
    fn two_trials_give_no_places_and_put_nobody_back() {
        let few = cell("few", &[1.0, 1.1]);
        assert_eq!(places(&[few.clone(), cell("b", &[5.0, 5.1])], None), [None, None]);
        assert_eq!(places(&[few, cell("b", &[5.0, 5.1, 5.2])], None), [None, Some(1)]);
    }

    #[test]
    fn a_table_of_many_stacks_asks_for_more_than_one_of_two() {
        // Significant by itself, with p about 2 %, and not as one of ten comparisons.
        let swayed: Vec<f64> = with_noise(1.0, 1)
            .iter()
            .zip([1.03, 1.0, 1.02, 1.04, 0.99, 1.03, 1.0, 1.01])
            .map(|(us, sway)| us * sway)
            .collect();
        let pair = [cell("a", &with_noise(1.0, 1)), cell("b", &swayed)];
        assert_eq!(places(&pair, None), [Some(1), Some(2)]);
        // Three that are level with both: each wavers more than it differs.
        let wavering = |stack: &str, shift: usize| {
            let sway = [1.2, 0.85, 1.15, 0.9, 1.1, 0.95, 1.25, 0.8];
            let costs: Vec<f64> =
                MOODS.iter().enumerate().map(|(block, mood)| mood * 1.01 * sway[(block + shift) % 8]).collect();
            cell(stack, &costs)
        };
        let mut field = pair.to_vec();
        field.extend([wavering("c", 0), wavering("d", 3), wavering("e", 5)]);
        let cells: Vec<&Cell> = field.iter().collect();
        let comparisons = Comparisons::of(&cells, Headline::CpuPerRequest, None);
        assert_eq!(comparisons.is_better_by_pairs(0, 1), Some(false));
    }

    #[test]
    fn a_table_of_stacks_that_are_all_alike_seldom_tells_any_apart() {
        const TABLES: u32 = 500;
        let mut random = StdRng::seed_from_u64(3);
        let mut draw = || -> f64 { StandardNormal.sample(&mut random) };
        let mut told_apart = 0;
        for _ in 0..TABLES {
            let moods = MOODS.map(|mood| mood * (0.05 * draw()).exp());
            let field: Vec<Cell> =
                (0..6).map(|_| cell("alike", &moods.map(|mood| mood * (0.02 * draw()).exp()))).collect();
            let cells: Vec<&Cell> = field.iter().collect();
            let comparisons = Comparisons::of(&cells, Headline::CpuPerRequest, None);
            let is_apart = |a| (0..6).any(|b| comparisons.is_better_by_pairs(a, b) == Some(true));
            told_apart += u32::from((0..6).any(is_apart));
        }
        // One in twenty, and four standard errors of that; without the correction it is two of five.
        let share = f64::from(told_apart) / f64::from(TABLES);
        assert!(share < 0.05 + 4.0 * (0.05 * 0.95 / f64::from(TABLES)).sqrt(), "{share}");
    }

    #[test]
    fn what_is_not_ranked_is_compared_with_nobody_and_has_no_place() {
        let starved = Cell { verdict: Verdict::Starved, ..cell("b", &with_noise(1.5, 2)) };
        let cells = [cell("a", &with_noise(1.0, 1)), starved];
        assert_eq!(places(&cells, None), [Some(1), None]);
        let cells: Vec<&Cell> = cells.iter().collect();
        assert_eq!(Comparisons::of(&cells, Headline::CpuPerRequest, None).is_better_by_pairs(0, 1), None);
    }

    #[test]
    fn where_the_pairs_contradict_the_medians_the_pairs_decide() {
        // `a` has the better median; by six of seven blocks `b` is cheaper.
        let a = cell("a", &[10.0, 20.0, 30.0, 39.0, 50.0, 60.0, 70.0]);
        let b = cell("b", &[9.0, 18.0, 27.0, 40.0, 45.0, 54.0, 63.0]);
        assert!(a.server_us.unwrap().median < b.server_us.unwrap().median);
        let cells = [&a, &b];
        let comparisons = Comparisons::of(&cells, Headline::CpuPerRequest, None);
        assert_eq!(comparisons.is_better_by_pairs(1, 0), Some(true));
        assert_eq!(comparisons.places(), [Some(2), Some(1)]);
    }

    #[test]
    fn by_rate_more_is_better() {
        let of = |stack: &str, factor: f64, seed: usize| {
            let mut cell = cell(stack, &with_noise(1.0, seed));
            cell.rate_by_block = (1..).zip(with_noise(factor, seed)).collect();
            cell
        };
        let cells = [of("fast", 1.1, 1), of("slow", 1.0, 2)];
        let cells: Vec<&Cell> = cells.iter().collect();
        let comparisons = Comparisons::of(&cells, Headline::Rate, None);
        assert_eq!(
            (comparisons.is_better_by_pairs(0, 1), comparisons.is_better_by_pairs(1, 0)),
            (Some(true), Some(false))
        );
        let slow = comparisons.times_best(1).unwrap();
        assert!((slow.ratio - 1.0 / 1.1).abs() < 0.005 && slow.interval.1 < 1.0, "{slow:?}");
    }
}
