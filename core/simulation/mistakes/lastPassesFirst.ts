/** Planted: of those that wait at a gate the one that came last passes first. */
import { turned } from "./turned.ts"

export const lastPassesFirst = turned((run) => -run)
