/** Planted: what a run says for its log is kept as of its present grant, whoever says it. */
import type { Mistake } from "../World.ts"

export const linesUnfenced: Mistake = (storage, state) => ({
  ...storage,
  logs: {
    ...storage.logs,
    append: (incarnation, told) =>
      storage.logs.append(
        incarnation,
        told.map((each) => ({
          ...each,
          fence: state.runs.get(each.run)?.state.fence ?? each.fence,
        })),
      ),
  },
})
