/** Files as sources that a trigger tails. */
export { lines, type LinesOptions } from "./Lines.ts"
