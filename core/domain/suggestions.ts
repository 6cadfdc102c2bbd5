/** Names that look like one that does not exist, the likeliest first. */
export const suggest = (
  wanted: string,
  names: ReadonlyArray<string>,
  most = 3,
): ReadonlyArray<string> =>
  names.slice(0, namesMax)
    .map((name) => ({ name, distance: distance(wanted.toLowerCase(), name.toLowerCase()) }))
    .filter(({ distance, name }) => distance <= Math.max(2, Math.ceil(name.length / 3)))
    .sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
    .slice(0, most)
    .map(({ name }) => name)

const namesMax = 2000

/** How many characters must be added, dropped or replaced to come from `a` to `b`. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(
        row[j]! + 1,
        next[j - 1]! + 1,
        row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1),
      ))
    }
    row = next
  }
  return row[b.length]!
}
