/** For tests: a process that says when some expressions are due, whatever zone it runs in. */
import * as Trigger from "./Trigger.ts"

const expressions = [
  "30 2 * * *",
  "*/15 * * * *",
  "0 0 L * *",
  "0 9 15W * *",
  "@daily",
  "0 1 * * SUN#2",
]
const zones = ["UTC", "Europe/Berlin", "Australia/Sydney", "America/St_Johns", "Asia/Kolkata"]

for (const expression of expressions) {
  for (const zone of zones) {
    const slots: Array<number> = []
    for (const after of [Date.UTC(2031, 2, 1), Date.UTC(2031, 9, 1)]) {
      for (const slot of Trigger.slots({ _tag: "Cron", expression, zone }, after)) {
        if (slots.push(slot) % 20 === 0) break
      }
    }
    console.log(JSON.stringify({ expression, zone, slots }))
  }
}
