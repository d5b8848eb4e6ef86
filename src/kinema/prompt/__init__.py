"""Language: Chinese and English, in the form that models were trained on. No torch."""
