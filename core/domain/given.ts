/** What somebody gave, as a refusal of it says it: short, whatever it is. */

const charactersMax = 130

export const cut = (text: string, max: number): string =>
  text.length > max ? `${text.slice(0, max - 1)}…` : text

/** As JSON, where that has a word for it. */
export const shown = (given: unknown): string => cut(textOf(given), charactersMax)

const textOf = (given: unknown): string => {
  if (typeof given === "number") return String(given)
  try {
    return JSON.stringify(given) ?? String(given)
  } catch {
    return typeof given
  }
}
