/** `belfry run revive`: gives a run that failed another try. */
import { ordering } from "../ordering.ts"

export const runRevive = ordering({
  order: "revive",
  description: "Give a run that failed, timed out or is in quarantine another try",
  words: { confirmed: "it will be tried again" },
})
