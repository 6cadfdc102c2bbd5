/**
 * JSON whose numbers keep all their digits: those that are no number of JavaScript come as text. A key of
 * 2^53 + 1 would become another row's.
 */
export const exactJson = (text: string): unknown => parse(text, exact)

/** With the third parameter of a reviver, which TypeScript does not know yet. */
const parse = JSON.parse as (
  text: string,
  revive: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
) => unknown

const exact = (
  _key: string,
  value: unknown,
  { source }: { readonly source?: string },
): unknown =>
  typeof value === "number" && source !== undefined && source !== String(value) &&
    decimalOf(source) !== decimalOf(String(value))
    ? source
    : value

/** One form for each number: its digits without zeros at their ends, and what power of ten they begin at. */
const decimalOf = (number: string): string => {
  const [, sign, whole = "", fraction = "", power = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(number) ?? []
  const digits = `${whole}${fraction}`
  const significant = digits.replace(/^0+/, "")
  if (significant === "") return "0"
  const first = whole.length + Number(power) - (digits.length - significant.length)
  return `${sign}${significant.replace(/0+$/, "")}e${first}`
}
