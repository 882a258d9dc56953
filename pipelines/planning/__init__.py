"""Plans: what a question takes to answer, from what is believed of the answer beforehand."""
