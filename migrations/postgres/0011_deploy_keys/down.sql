ALTER TABLE projects DROP COLUMN submodules;
DROP TABLE deploy_keys;
