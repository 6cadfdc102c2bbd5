/** Two more levels, below the three that there were: in SQL, too. */
import deadlines, { changed } from "./deadlines.ts"

const submitBefore = deadlines.find((text) =>
  text.startsWith("CREATE OR REPLACE FUNCTION submit(")
)!

export default [
  changed(
    submitBefore,
    ["'{0,60000,600000}'::bigint[]", "'{0,60000,600000,3600000,21600000}'::bigint[]"],
    [
      "'level', 2, 'Use 0 (urgent), 1 (usual) or 2 (can wait)'",
      "'level', 4, 'Use 0 (urgent), 1 (usual), 2 (low), 3 (bulk) or 4 (idle)'",
    ],
  ),
]
