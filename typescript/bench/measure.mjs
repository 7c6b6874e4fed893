// Timing that holds on a busy machine, as bench/measure.py does it.

function cpuSeconds() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function once(work, repeats) {
  globalThis.gc();
  const started = cpuSeconds();
  for (let index = 0; index < repeats; index += 1) work();
  return (cpuSeconds() - started) / repeats;
}

/** The middle one of some numbers. */
export function median(list) {
  return [...list].sort((left, right) => left - right)[Math.floor(list.length / 2)];
}

/** Median CPU times in seconds of works that are taken in turns. */
export function medians(works) {
  const names = Object.keys(works);
  // A server works for long: what the compiler does in the first moments is not measured.
  const warm = (work) => {
    const warmed = cpuSeconds() + 0.5;
    while (cpuSeconds() < warmed) work();
    return once(work, 3);
  };
  const repeats = names.map((name) => Math.ceil(0.01 / Math.max(warm(works[name]), 1e-6)));
  const times = names.map(() => []);
  const end = cpuSeconds() + 1;
  while (cpuSeconds() < end || times[0].length < 3) {
    names.forEach((name, index) => {
      times[index].push(once(works[name], repeats[index]));
    });
  }
  return Object.fromEntries(names.map((name, index) => [name, median(times[index])]));
}
