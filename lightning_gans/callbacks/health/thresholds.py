"""The numbers that the rules of `diagnosis` compare with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """What the rules compare medians of five readings with; see `Reading` for the figures.

    `benchmarks/failure_monitor.py` set them on some set-ups and reports on others.

    Attributes:
        poor_energy: energy above which samples are far from the data, whatever the losses say.
        collapsed_energy: energy above which low diversity is a collapse, and a D that cannot tell is too weak.
        collapsed_diversity: diversity below which samples far from the data have collapsed.
        lost_energy: energy above which samples that were closer to the data before may have collapsed.
        lost_diversity: diversity below which such samples have collapsed.
        lost_factor: how many times their lowest energy such samples must have.
        progress: share by which a distance from the data must fall below the least of the twenty readings before, to
            count as learning.
        energy_noise: fall of the energy that may be chance.
        distance_noise: the same of the distance.
        width_noise: the same of the width.
        missing_noise: the same of the number of missing modes.
        imbalance_noise: the same of the imbalance.
        coverage_noise: rise of the coverage that may be chance.
        spread_noise: the same of the spread.
        shift: shift above which the distribution of fakes moves between readings.
        movement: movement above which it does.
        standstill: movement below which the generator no longer changes.
        fooled_separation: separation below which D takes fakes for real.
        inverted_separation: separation below which D always does, which no progress of the samples excuses.
        blind_advantage: advantage below which D cannot tell real samples from fakes.
        perfect_separation: separation above which D always tells them apart.
        perfect_advantage: advantage above which D's loss has vanished.
        saturated_pull: pull below which the generator's loss has saturated.
        weak_pull: pull below which it has nearly saturated, where the generator no longer changes.
        weak_pull_energy: energy above which a generator that no longer changes is held back by such a loss.
        missed_energy: energy above which fakes miss the data, where D is perfect.
        missed_coverage: coverage below which they miss it.
        exploded_gradient: norm of either gradient, slope of D, or size of D's loss, above which it has exploded.
        exploded_energy: energy above which an exploded gradient or loss is a failure.
        exploded_diversity: diversity above which the samples have exploded.
        memorised: memorised above which D knows the training samples,
        memorised_separation: if its separation is above this.
        repeats: share of samples with a near copy among the others, above which there are only a few.
        constant: diversity below which all samples are the same.
        little_diversity: diversity below which samples have collapsed, however near to the data.
        little_variety: variety in features below which samples look the same to a classifier, where no discriminator
            compares them with data.
        ignored: sensitivity below which the latents are ignored.
        ignored_coverage: coverage above which other things than the latents give the variety of the data.
        unlike: coverage below which no sample lies among real ones,
        unlike_density: if the density is below this.
        smeared_width: width above which points are scattered around the modes,
        smeared_gap: if their gap is above this.
        contrast: factor by which the contrast of images differs from the data's, up or down, above which it is wrong.
        blurred: sharpness below which images are blurred.
        noisy: sharpness above which images are noisy,
        noisy_coverage: if their coverage is below this.
        outside: share of samples outside of all modes, above which they have not gathered in the one that is left.
        imbalance: imbalance above which modes are unequal.
        spread: spread below which classes or modes have collapsed inside.
        least_spread: spread of the least, below which one of them has.
        agreement: agreement below which labels are ignored.
        copies: share of copies of training images above which the generator has memorised them.
        stalled_distance: distance above which samples stay far from the data.
        stalled_coverage: coverage below which they do,
        stalled_density: if the density is below this.
    """

    poor_energy: float = 0.15
    collapsed_energy: float = 0.2
    collapsed_diversity: float = 0.7
    lost_energy: float = 0.1
    lost_diversity: float = 0.8
    lost_factor: float = 2.0
    progress: float = 0.15
    energy_noise: float = 0.02
    distance_noise: float = 0.005
    width_noise: float = 0.3
    missing_noise: float = 0.9
    imbalance_noise: float = 0.05
    coverage_noise: float = 0.03
    spread_noise: float = 0.1
    shift: float = 0.3
    movement: float = 0.25
    standstill: float = 0.05
    fooled_separation: float = 0.35
    inverted_separation: float = 0.05
    blind_advantage: float = 0.03
    perfect_separation: float = 0.98
    perfect_advantage: float = 0.85
    saturated_pull: float = 0.1
    weak_pull: float = 0.25
    weak_pull_energy: float = 0.075
    missed_energy: float = 0.075
    missed_coverage: float = 0.05
    exploded_gradient: float = 100.0
    exploded_energy: float = 0.075
    exploded_diversity: float = 3.0
    memorised: float = 0.5
    memorised_separation: float = 0.9
    repeats: float = 0.5
    constant: float = 0.02
    little_diversity: float = 0.3
    little_variety: float = 0.3
    ignored: float = 0.05
    ignored_coverage: float = 0.6
    unlike: float = 0.1
    unlike_density: float = 0.3
    smeared_width: float = 2.5
    smeared_gap: float = 1.5
    contrast: float = 1.6
    blurred: float = 0.6
    noisy: float = 2.0
    noisy_coverage: float = 0.6
    outside: float = 0.4
    imbalance: float = 0.3
    spread: float = 0.5
    least_spread: float = 0.15
    agreement: float = 0.5
    copies: float = 0.3
    stalled_distance: float = 0.04
    stalled_coverage: float = 0.25
    stalled_density: float = 0.6
