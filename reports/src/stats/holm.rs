//! Many comparisons: at a significance of 5 %, one of twenty differences that are none would be called one.

/// Corrects p-values for having asked them all, so that the probability of calling any difference one that is none
/// stays below the significance they are then held against. In the order given.
///
/// The i-th smallest of m becomes max over j ≤ i of (m − j + 1)·pⱼ, at most 1.
///
/// Source: S. Holm, *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 6
/// (1979).
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut ascending: Vec<usize> = (0..p_values.len()).collect();
    ascending.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut corrected = vec![0.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (already_asked, index) in ascending.into_iter().enumerate() {
        let still_asked = (p_values.len() - already_asked) as f64;
        largest = largest.max(still_asked * p_values[index]).min(1.0);
        corrected[index] = largest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn corrected_values_are_those_of_r() {
        // p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") of R.
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, expected) in corrected.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - expected).abs() < 1e-12, "{corrected:?}");
        }
    }

    #[test]
    fn a_single_comparison_needs_no_correction() {
        assert_eq!(holm(&[0.04]), [0.04]);
        assert!(holm(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn a_corrected_value_lies_between_the_given_one_and_bonferronis(
            p_values in prop::collection::vec(0.0..=1.0_f64, 1..40),
        ) {
            let bonferroni = p_values.len() as f64;
            for (given, corrected) in p_values.iter().zip(holm(&p_values)) {
                prop_assert!(*given <= corrected && corrected <= (bonferroni * given).min(1.0) + 1e-15);
            }
        }

        #[test]
        fn correction_keeps_the_order(p_values in prop::collection::vec(0.0..=1.0_f64, 2..40)) {
            let corrected = holm(&p_values);
            for (a, b) in p_values.iter().zip(&corrected) {
                for (c, d) in p_values.iter().zip(&corrected) {
                    prop_assert!(a > c || b <= d, "{a} became {b}, {c} became {d}");
                }
            }
        }
    }
}
