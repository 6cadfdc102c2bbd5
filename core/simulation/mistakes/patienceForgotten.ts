/** Planted: at a gate better levels go first for ever. */
import { turned } from "./turned.ts"

/** More than any patience, in ids of runs. */
const forEver = 1e14

export const patienceForgotten = turned((run, level) => run + level * forEver)
