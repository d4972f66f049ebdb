\echo Use "ALTER EXTENSION webhook UPDATE TO '0.2.0'" to load this file. \quit
