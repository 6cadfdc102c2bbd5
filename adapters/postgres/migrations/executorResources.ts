/** What an executor offers to runs, as JSON. */
export default [`ALTER TABLE executor ADD COLUMN resources text NOT NULL DEFAULT '{}'`]
