//! Checks file sizes: half of the files have at most 150 lines, nine of ten at most 400, none more than 500.

use super::sources::Source;

const MEDIAN: usize = 150;
const NINTH_DECILE: usize = 400;
const MAXIMUM: usize = 500;

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.lines > MAXIMUM) {
        let (path, lines) = (source.path.display(), source.lines);
        let finding = format!("{path}: {lines} lines, none may have more than {MAXIMUM}");
        findings.push(finding);
    }
    let mut sizes: Vec<usize> = sources.iter().map(|source| source.lines).collect();
    sizes.sort_unstable();
    for (share, limit) in [(50, MEDIAN), (90, NINTH_DECILE)] {
        let last = (sizes.len() * share).div_ceil(100).saturating_sub(1);
        if let Some(size) = sizes.get(last).filter(|size| **size > limit) {
            findings.push(format!(
                "{share} % of the files have up to {size} lines; the limit is {limit}"
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(sizes: &[usize]) -> Vec<Source> {
        let file = |lines: &usize| Source::new("a.rs", &"x\n".repeat(*lines));
        sizes.iter().map(file).collect()
    }

    #[test]
    fn each_limit_can_be_exceeded() {
        assert_eq!(
            check(&tree(&[10, 20, 500])),
            ["90 % of the files have up to 500 lines; the limit is 400"]
        );
        assert_eq!(check(&tree(&[151, 151, 10])).len(), 1);
        let found = check(&tree(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 501]));
        assert_eq!(found, ["a.rs: 501 lines, none may have more than 500"]);
        assert_eq!(check(&tree(&[1, 400])), [""; 0]);
        assert_eq!(check(&[]), [""; 0]);
    }
}
