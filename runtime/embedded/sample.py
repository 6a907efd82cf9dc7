"""A shop's stock: what lies on the shelves, what it is worth, and what has to be ordered again."""

import csv


class Article:
    """One kind of goods; the price is in cents."""

    def __init__(self, name, price, amount=0):
        self.name = name
        self.price = price
        self.amount = amount

    def value(self):
        return self.price * self.amount


class Stock:
    """All articles of one shop, by name."""

    def __init__(self, low=5):
        self.low = low
        self.articles = {}

    def add(self, article):
        self.articles[article.name] = article

    def remove(self, name):
        if name not in self.articles:
            raise KeyError(name)
        del self.articles[name]

    def total(self):
        result = 0
        for article in self.articles.values():
            result += article.value()
        return result

    def to_order(self):
        return [article for article in self.articles.values() if article.amount < self.low]


def load(path):
    """Reads a stock from a CSV file with the columns name, price, amount."""
    stock = Stock()
    with open(path, newline="") as file:
        for row in csv.reader(file):
            stock.add(Article(row[0], int(row[1]), int(row[2])))
    return stock
