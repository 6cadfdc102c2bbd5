/** `belfry run suspend`: puts a run down until it is resumed. */
import { ordering } from "../ordering.ts"

export const runSuspend = ordering({
  order: "suspend",
  description: "Put a run down, or keep it from starting, until it is resumed",
  words: {
    confirmed: "suspended",
    requested: "requested: its executor was asked to put it down",
  },
})
