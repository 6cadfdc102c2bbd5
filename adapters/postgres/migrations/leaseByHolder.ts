/**
 * A lease is found by its holder, who settles it and beats for it. Who has only the run asks every
 * holder there is: an index by run alone would cost each claim a tenth more.
 */
export default [
  `ALTER TABLE lease DROP CONSTRAINT one_holder,
     ADD CONSTRAINT held_once PRIMARY KEY (incarnation, run_id)`,
  `DROP INDEX lease_by_holder`,
]
