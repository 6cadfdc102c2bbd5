/** `belfry run resume`: lets a suspended run go on. */
import { ordering } from "../ordering.ts"

export const runResume = ordering({
  order: "resume",
  description: "Let a suspended run go on from where it was put down",
  words: { confirmed: "resumed" },
})
